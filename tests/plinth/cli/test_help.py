"""Help texts: complete, without markup that is eaten, for every command."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from plinth.cli.main import app
from tests.support.command import run_command


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from commands(subcommand, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))
#: Commands that print no answer of the API, or print JSON in any case.
WITHOUT_JSON = {
    ("up",), ("down",), ("open",), ("demo",), ("models", "download"), ("models", "unalias"), ("models", "unsplit"),
    ("models", "unwatch"),
    ("models", "delete"), ("datasets", "delete"), ("jobs", "delete"), ("keys", "revoke"), ("webhooks", "delete"),
}  # fmt: skip


@pytest.mark.process
@pytest.mark.parametrize("path", [("upload",), ("train",), ("predict",), ("jobs", "clone"), ("up",)])
def test_no_word_of_a_help_text_is_lost(path: tuple[str, ...]) -> None:
    shown = "".join(run_command(*path, "--help", columns=200).stdout.replace("│", " ").split())
    for parameter in COMMANDS[path].params:
        assert "".join((parameter.help or "").split()) in shown, parameter.name


def test_no_help_text_has_brackets_that_the_terminal_takes_for_markup() -> None:
    for path, command in COMMANDS.items():
        for text in (command.help, *(getattr(parameter, "help", "") for parameter in command.params)):
            assert "[" not in (text or ""), path


def test_every_command_that_prints_an_answer_has_json() -> None:
    leaves = {
        path for path, command in COMMANDS.items() if path and (not hasattr(command, "commands") or command.params)
    }
    without = {path for path in leaves if not any("--json" in parameter.opts for parameter in COMMANDS[path].params)}
    assert without == WITHOUT_JSON


@pytest.mark.process
def test_the_version_is_printed() -> None:
    from plinth import __version__

    assert run_command("--version").stdout == f"plinth {__version__}\n"


@pytest.mark.process
@pytest.mark.parametrize("path", [(), ("upload",), ("train",), ("jobs", "cancel"), ("jobs",), ("gc",)])
def test_types_are_plain_words(path: tuple[str, ...]) -> None:
    shown = run_command(*path, "--help", columns=200).stdout
    assert "Usage" in shown
    assert not [line for line in shown.splitlines() if "<" in line or "list[" in line or "range" in line.split("  ")]


@pytest.mark.process
def test_an_invalid_choice_is_refused_in_plain_words() -> None:
    refused = run_command("jobs", "--state", "done", columns=200)
    assert refused.returncode == 2
    assert "Invalid value for '--state': 'done' is not one of 'queued', 'running'" in refused.stderr
    assert "Value error" not in refused.stderr


@pytest.mark.parametrize("group", ["jobs", "datasets", "models", "keys"])
def test_every_list_has_a_name(group: str) -> None:
    options = {path: [parameter.name for parameter in COMMANDS[path].params] for path in ((group,), (group, "list"))}
    assert options[(group,)] == options[(group, "list")]
