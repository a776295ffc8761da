"""Sizes of images that `plinth train` takes, and next steps that it proposes."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from plinth.cli.commands.train import epochs_of, parse_image_size
from plinth.client.types import Job, Progress

ONE_SIZE = {"image": {"min_width": 320, "max_width": 320, "min_height": 240, "max_height": 240}}
SEVERAL = {"image": {"min_width": 320, "max_width": 640, "min_height": 240, "max_height": 240}}


@pytest.mark.parametrize(
    ("progress", "schedule", "epochs"),
    [({"epochs": 120}, {"epochs": 4}, 120), ({}, {"epochs": 4}, 4), ({}, None, 10)],
)
def test_the_proposal_counts_the_epochs_that_ran(
    progress: dict[str, Any], schedule: dict[str, Any] | None, epochs: int
) -> None:
    job = Job(
        id="job_1", kind="finetune", state="succeeded", spec={"schedule": schedule}, progress=Progress(**progress)
    )
    assert epochs_of(job) == epochs


@pytest.mark.parametrize(
    ("text", "facts", "expected"),
    [
        ("96", ONE_SIZE, {"width": 128, "height": 96}),
        ("96", SEVERAL, {"width": 96, "height": 96, "keep_ratio": True}),
        ("160x120", SEVERAL, {"width": 160, "height": 120}),
        ("64", None, {"width": 64, "height": 64}),
    ],
)
def test_one_number_is_the_shorter_side_and_the_aspect_ratio_stays(text, facts, expected) -> None:
    assert parse_image_size(text, facts) == expected


@pytest.mark.parametrize("text", ["big", "0", "64x", "1x2x3", "4096"])
def test_another_size_is_refused_with_the_form(text) -> None:
    with pytest.raises(typer.BadParameter, match="WIDTHxHEIGHT, each from 1 to 2,048"):
        parse_image_size(text, ONE_SIZE)
