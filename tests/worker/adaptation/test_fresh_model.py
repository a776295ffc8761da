"""A real service adapts a model to drift, and ignores shuffled labels."""

from __future__ import annotations

import random
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from plinth import APIError, Plinth
from plinth.client.types import Watch
from tests.support.stack import RunningStack

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

SCHEDULE = {"epochs": 10, "batch_size": 32}
#: The old test has 60 rows: the default of 0.025 would refuse a version for two of them.
GATE = {"max_forgetting": 0.1}
WAIT_SECONDS = 200


@pytest.fixture(scope="module")
def photos(digits_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path, str]]:
    """Each training digit: as it is, with inverted brightness, and its label."""
    folder = tmp_path_factory.mktemp("photos")
    files = []
    with zipfile.ZipFile(digits_zip) as archive:
        names = [name for name in archive.namelist() if name.startswith("train/")]
        for name in names:
            plain = Path(archive.extract(name, folder))
            inverted = plain.with_suffix(".inverted.png")
            ImageOps.invert(Image.open(plain).convert("L")).save(inverted)
            files.append((plain, inverted, plain.parent.name))
    return files


def train(plinth: Plinth, digits_zip: Path) -> None:
    plinth.datasets.wait(plinth.datasets.upload(digits_zip, name="digits", task="image_classification").id)
    job = plinth.jobs.finetune(
        "digits",
        task={"name": "image_classification", "config": {"augmentation": "off"}},
        architecture={"name": "cnn", "config": {"preset": "small"}},
        schedule=SCHEDULE,
        model="digits",
    )
    plinth.jobs.wait(job.id, timeout_seconds=WAIT_SECONDS)


def until(plinth: Plinth, is_reached: Callable[[Watch], bool]) -> Watch:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_reached(watch := plinth.models.get_watch("digits")):
        assert time.monotonic() < deadline, watch
        time.sleep(0.3)
    return watch


def kinds(watch: Watch) -> list[str]:
    return [event.kind for event in watch.state.events]


def ask(plinth: Plinth, files: Sequence[Path]) -> list[str]:
    """Ask for each image alone, and return the request ids once all are recorded."""
    before = plinth.models.get_watch("digits").state
    recorded = sum(version.recorded for version in before.versions)
    ids = [plinth.predict("digits", file).request_id for file in files]
    until(plinth, lambda watch: sum(version.recorded for version in watch.state.versions) >= recorded + len(files))
    return ids


def test_a_model_learns_what_drifts_and_is_not_taken_in_by_shuffled_labels(
    start_stack: Callable[..., RunningStack], digits_zip: Path, photos: list[tuple[Path, Path, str]]
) -> None:
    with start_stack(PLINTH_WATCH_SECONDS="0.3").client() as plinth:
        train(plinth, digits_zip)
        with pytest.raises(APIError, match="valid number") as refusal:
            plinth.models.set_watch("digits", then="promote", training={"schedule": {"learning_rate": "fast"}})
        assert refusal.value.errors[0]["path"] == "training.schedule.learning_rate"
        with pytest.raises(APIError, match="cnm"):
            plinth.models.set_watch("digits", then="promote", training={"architecture": "cnm"})
        watch = plinth.models.set_watch(
            "digits",
            keep="rows",
            fraction=1,
            then="promote",
            training={"schedule": SCHEDULE},
            min_feedback=1000,
            gate=GATE,
        )
        assert kinds(watch) == ["alias"]
        ask(plinth, [plain for plain, _, _ in photos[:220]])
        until(plinth, lambda watch: len(watch.state.drift) > 0 and watch.state.drift[0].rows >= 20)
        drifted = photos[:150]
        ids = ask(plinth, [inverted for _, inverted, _ in drifted])
        watch = until(plinth, lambda watch: "drift" in kinds(watch))
        assert min(state.alarm_row or 10**6 for state in watch.state.drift) <= 500

        # The trap: labels in any order teach nothing, so that no version may be promoted by them.
        labels = [label for _, _, label in drifted]
        shuffled = random.Random(0).sample(labels, len(labels))
        for request_id, label in zip(ids[:60], shuffled, strict=False):
            plinth.feedback.send("digits", label, request_id=request_id)
        watch = until(plinth, lambda watch: "refused" in kinds(watch))
        assert watch.state.gate is not None
        assert not watch.state.gate["passed"]
        assert plinth.predict("digits", photos[0][0]).version == 1

        for request_id, label in zip(ids, labels, strict=True):
            plinth.feedback.send("digits", label, request_id=request_id)
        watch = until(plinth, lambda watch: kinds(watch).count("refused") + kinds(watch).count("promoted") >= 2)
        assert kinds(watch)[-1] == "promoted", watch.state.events[-1]
        table = watch.state.gate["table"] if watch.state.gate else {}
        assert table["new"]["candidate"]["accuracy"] > table["new"]["current"]["accuracy"] + 0.3
        promoted = plinth.models.get("digits@production")
        assert promoted.version > 1
        assert promoted.lineage is not None
        dataset = plinth.datasets.get(f"digits-feedback@{2}")
        assert dataset.origin is not None
        assert dataset.origin["dataset"] == "digits@1"
