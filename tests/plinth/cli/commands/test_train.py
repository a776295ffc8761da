"""Sizes of images that `plinth train` takes, and next steps that it proposes."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from plinth import Plinth
from plinth.cli.commands.train import epochs_of, parse_image_size, parse_start_from, start
from plinth.client.types import Job, License, Progress

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
    with pytest.raises(typer.BadParameter, match=r"WIDTHxHEIGHT; write 96 or 160x120 \(limit 2,048\)"):
        parse_image_size(text, ONE_SIZE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("base@2", "base@2"),
        ("image=text-base", {"image": "text-base"}),
        ("image=photos@3,text=mails", {"image": "photos@3", "text": "mails"}),
    ],
)
def test_a_base_is_named_alone_or_by_slot(text: str, expected: str | dict[str, str]) -> None:
    assert parse_start_from(text) == expected


@pytest.mark.parametrize("text", ["image=", "=base", "image=photos,mails"])
def test_a_slot_without_a_base_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="not SLOT=MODEL; write image=image-base,text=text-base"):
        parse_start_from(text)


def test_the_licenses_are_printed_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    licenses = [License(kind="dataset", reference="photos@1", license="CC-BY-NC-4.0", noncommercial=True)]
    job = Job(id="job_1", kind="finetune", state="queued", licenses=licenses)
    start(Plinth("http://127.0.0.1:9", api_key="none"), job, detach=True, as_json=False)
    printed = capsys.readouterr().out
    assert "license of dataset photos@1: CC-BY-NC-4.0  excludes commercial use" in printed
    assert printed.index("license") < printed.index(job.id)
