"""Options and references that the commands share."""

import pytest
import typer

from plinth.cli.commands.context import apply_setting, confirm, parse_assignments


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("text=message", {"text": "message"}),
        ("text=message, label=2", {"text": "message", "label": 2}),
        ("train=0.8,test=0.2", {"train": 0.8, "test": 0.2}),
        ("label=a=b", {"label": "a=b"}),
        ('{"text": "my, message"}', {"text": "my, message"}),
        (None, None),
    ],
)
def test_assignments_are_pairs_or_json(text: str | None, values: object) -> None:
    assert parse_assignments(text, "--columns", example="text=message") == values


def test_a_setting_reaches_into_the_spec() -> None:
    spec: dict = {"tuning": "lora"}
    apply_setting(spec, "tuning.config.rank=4")
    apply_setting(spec, "schedule.decay=cosine")
    apply_setting(spec, "schedule.learning_rate=null")
    assert spec == {
        "tuning": {"name": "lora", "config": {"rank": 4}},
        "schedule": {"decay": "cosine", "learning_rate": None},
    }
    with pytest.raises(typer.BadParameter, match="path=value"):
        apply_setting(spec, "epochs")


def test_without_a_terminal_consent_is_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    confirm("Delete it?", yes=True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(typer.BadParameter, match=r"Delete it.*--yes"):
        confirm("Delete it?", yes=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", lambda _: False)
    with pytest.raises(typer.Exit):
        confirm("Delete it?", yes=False)
