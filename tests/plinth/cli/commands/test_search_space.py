"""`--trials` and `--search` of `plinth train`."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from plinth.cli.commands.search_space import make_sweep, parse_dimension


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("schedule.learning_rate=1e-4..1e-2", {"low": 1e-4, "high": 1e-2, "log": True}),
        ("schedule.batch_size=16..64", {"low": 16, "high": 64, "log": False}),
        ("schedule.weight_decay=0..0.1", {"low": 0, "high": 0.1, "log": False}),
        ("architecture=cnn, resnet", ["cnn", "resnet"]),
        ("schedule.batch_size=16,32", [16, 32]),
        (
            'architecture=[{"name": "cnn", "config": {"preset": "large"}}]',
            [{"name": "cnn", "config": {"preset": "large"}}],
        ),
    ],
)
def test_a_setting_is_searched_in_a_range_or_a_list(text: str, dimension: Any) -> None:
    assert parse_dimension(text) == (text.partition("=")[0], dimension)


@pytest.mark.parametrize("text", ["schedule.learning_rate", "=1..2", "a=1..x", "a=[1"])
def test_a_value_that_is_no_space_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_dimension(text)


def test_a_search_without_settings_is_around_the_recipe() -> None:
    job = {"kind": "finetune", "model": "digits"}
    sweep = make_sweep(job, trials=4, search=())
    assert sweep == {"kind": "sweep", "job": job, "space": "auto", "budget": {"trials": 4}}
    assert "budget" not in make_sweep(job, trials=None, search=["architecture=cnn,resnet"])
    with pytest.raises(typer.BadParameter, match="leave --objective out"):
        make_sweep({"kind": "pretrain"}, trials=4, search=())
