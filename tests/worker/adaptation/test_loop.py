"""The loop of a watch: drift, labels, training, gate, promotion, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from ml.drift import DRIFT_TESTS
from store import jobs, models
from store.adaptation import records, watches
from store.blobs import blobs
from store.database import reading, transaction
from store.errors import Conflict
from store.ids import new_id
from store.models import NewModel
from store.tables import Dataset, Job, JobKind, RequestRecord
from tests.support.adaptation import WATCH_OPTIONS, add_labels
from tests.support.factories import claim_job, register, shades
from worker.adaptation.loop import adapt_models
from worker.adaptation.monitors import VersionMonitors

OPTIONS = {**WATCH_OPTIONS, "training": {"schedule": {"epochs": 1}}}
SUMMARY = {
    "format": "class_folders",
    "task": "image_classification",
    "columns": {"image": "image", "label": "label"},
    "splits": {"train": 50, "validation": 10, "test": 40},
    "classes": ["dark", "light"],
}
PERFECT = {"accuracy": 1.0, "interval": [0.9, 1.0], "ece": 0.0}


def put(**changes: Any) -> None:
    with transaction() as session:
        watches.put(session, "shades", keep="rows", fraction=1.0, options={**OPTIONS, **changes})


def state() -> dict[str, Any]:
    with reading() as session:
        return watches.get(session, "shades").state


def kinds() -> list[str]:
    return [event["kind"] for event in state().get("events", [])]


def production() -> int:
    with reading() as session:
        return models.version(session, "shades@production").version


@pytest.fixture
def watched(home: Path, tmp_path: Path) -> str:
    """A watched model with its training dataset, whose id is returned."""
    with transaction() as session:
        dataset = Dataset(id=new_id("ds"), name="shades", version=1, state="ready", summary=SUMMARY, key="datasets/x")
        session.add(dataset)
    register(shades(tmp_path / "package"), dataset_id=dataset.id)
    put()
    return dataset.id


def record(values: np.ndarray, *, version: int = 1, labels: Sequence[str] = ("dark", "light")) -> None:
    """Store records with these embeddings, float [N, D]."""
    rng = np.random.default_rng(len(values))
    rows = [
        {
            "id": new_id("rec"),
            "model_name": "shades",
            "version": version,
            "request_id": f"r{number}",
            "position": 0,
            "label": labels[int(rng.integers(len(labels)))],
            "confidence": float(rng.beta(8, 2)),
            "statistics": rng.normal(size=5).tolist(),
            "embedding": vector.astype(np.float32).tobytes(),
            "input": b"{}",
            "bytes": 2,
        }
        for number, vector in enumerate(values)
    ]
    with transaction() as session:
        records.add(session, rows)


def label(count: int, *, version: int | None = None, is_right: bool = True, start: int = 0) -> None:
    predicted = None if version is None else "light" if is_right else "dark"
    add_labels("shades", "light", count, version=version, predicted=predicted, start=start)


def newest_job(kind: str) -> Job:
    with reading() as session:
        job = session.scalar(select(Job).where(Job.kind == kind).order_by(Job.id.desc()).limit(1))
        assert job is not None
        session.expunge(job)
        return job


def finish_dataset() -> None:
    """End the job that derives the dataset of feedback."""
    claim = claim_job(newest_job(JobKind.DERIVE).id)
    with transaction() as session:
        jobs.finish_validation(
            session, claim, ready=True, report={}, summary=SUMMARY, key="datasets/y", size=1, license=None
        )


def finish_training(folder: Path) -> None:
    """End the fine-tuning with a version of its own."""
    package = shades(folder)
    claim = claim_job(newest_job(JobKind.FINETUNE).id)
    model_id = new_id("mdl")
    blobs().put_tree(f"models/{model_id}", package.directory)
    new = NewModel(
        id=model_id,
        name="shades",
        task="image_classification",
        architectures={"image": "cnn"},
        parameters=1,
        bytes=1,
        metrics={},
        labels=["dark", "light"],
        formats=[],
        files=[],
        key=f"models/{model_id}",
        manifest_sha256="",
        parent_id=None,
    )
    with transaction() as session:
        jobs.succeed(session, claim, model=new, report={}, reason="completed")


def finish_comparison(
    *, new_difference: float, old_difference: float = 0.0, new_rows: int = 40, corrupted: float | None = None
) -> None:
    claim = claim_job(newest_job(JobKind.COMPARE).id)

    def part(rows: int, difference: float) -> dict[str, Any]:
        low, high = difference - 0.1, difference + 0.1
        scores = {"current": PERFECT, "candidate": PERFECT}
        return {"rows": rows, "difference": difference, "interval": [low, high], **scores}

    report = {"old": part(40, old_difference), "new": part(new_rows, new_difference), "all": part(80, 0.0)}
    if corrupted is not None:
        report["corrupted"] = part(60, corrupted)
    with transaction() as session:
        jobs.succeed(session, claim, report=report, reason="completed")


@pytest.fixture
def run_round(watched: str, tmp_path: Path) -> Callable[..., None]:
    """Run a round up to the gate, in place of a worker."""

    def run(**comparison: Any) -> None:
        label(45)
        adapt_models()
        finish_dataset()
        finish_training(tmp_path / "trained")
        adapt_models()
        finish_comparison(**comparison)
        adapt_models()

    return run


def test_injected_drift_is_seen_within_500_rows_and_no_row_is_counted_twice(watched: str) -> None:
    rng = np.random.default_rng(0)
    put(then="tell")
    record(rng.normal(size=(400, 12)))
    adapt_models()
    adapt_models()
    drift = {entry["test"]: entry for entry in state()["drift"]}
    assert {entry["rows"] for entry in drift.values()} == {200}
    assert {entry["reference_rows"] for entry in drift.values()} == {200}
    assert drift["embedding"]["false_alarm_rate"] == pytest.approx(0.01 / 4)
    assert "drift" not in kinds()
    for _ in range(5):
        record(rng.normal(1.0, 1.0, size=(100, 12)))
        adapt_models()
    alarm = next(event for event in state()["events"] if event["kind"] == "drift")
    assert alarm["test"] == "embedding"
    assert 200 < alarm["rows"] <= 700
    assert kinds().count("drift") == 1
    points = next(entry for entry in state()["drift"] if entry["test"] == "embedding")["evidence"]
    assert [point["rows"] for point in points] == [200, alarm["rows"]], "a test ends with its alarm"
    assert points[0]["value"] < points[-1]["value"]
    with reading() as session:
        assert not records.list_unchecked(session, "shades", limit=10)


def test_sketches_are_deleted_once_they_are_read(watched: str) -> None:
    with transaction() as session:
        watches.put(session, "shades", keep="sketches", fraction=1.0, options=OPTIONS)
    record(np.zeros((5, 2)))
    with transaction() as session:
        records.delete_inputs(session, "shades")
    adapt_models()
    with reading() as session:
        assert session.scalars(select(RequestRecord)).all() == []
    assert state()["drift"][0]["reference_rows"] == 5


def test_drift_without_labels_asks_for_them_once(watched: str) -> None:
    record(np.random.default_rng(0).normal(size=(200, 4)))
    record(np.random.default_rng(1).normal(5, 1, size=(300, 4)))
    for _ in range(3):
        adapt_models()
    assert kinds().count("needs_labels") == 1
    label(30)
    adapt_models()
    assert kinds()[-1] == "training"


def test_a_better_version_is_promoted(run_round: Callable[..., None]) -> None:
    run_round(new_difference=0.5)
    assert kinds() == ["alias", "training", "promoted"]
    assert production() == 2
    job = newest_job(JobKind.FINETUNE)
    assert job.spec["start_from"] == "shades@1"
    assert job.spec["dataset"] == "shades-feedback@1"
    assert job.spec["schedule"] == {"epochs": 1}
    assert newest_job(JobKind.COMPARE).spec["old_rows"] == 40
    assert state()["gate"]["passed"]
    assert set(state()["gate"]["table"]) == {"old", "new", "all"}
    assert state()["guard"]["earlier"] == 1
    adapt_models()
    assert len(kinds()) == 3


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        ({"new_difference": 0.05}, "not shown to be better on 40 new test rows"),
        ({"new_difference": 0.5, "old_difference": -0.1}, "accuracy on 40 old test rows -0.100"),
        ({"new_difference": 0.5, "new_rows": 3}, "the gate cannot be computed: 3 new test rows"),
    ],
)
def test_a_version_that_does_not_pass_stays_aside(run_round: Callable[..., None], comparison: Any, words: str) -> None:
    run_round(**comparison)
    assert kinds() == ["alias", "training", "refused"]
    assert words in state()["events"][-1]["message"]
    assert production() == 1
    adapt_models()
    assert state()["round"] is None


@pytest.mark.parametrize(
    ("corrupted", "kind", "words"),
    [
        (0.0, "promoted", "accuracy on 60 corrupted rows +0.000 (at most 0.050 may be lost)"),
        (-0.2, "refused", "accuracy on 60 corrupted rows -0.200"),
        (None, "refused", "robustness cannot be computed"),
    ],
)
def test_a_gate_on_robustness_needs_corrupted_rows(
    run_round: Callable[..., None], corrupted: float | None, kind: str, words: str
) -> None:
    gate = {"min_test_rows": 15, "max_forgetting": 0.02, "max_calibration_loss": 0.05, "robustness": 0.05}
    put(gate=gate)
    run_round(new_difference=0.5, corrupted=corrupted)
    assert newest_job(JobKind.COMPARE).spec["robustness"]
    assert kinds()[-1] == kind
    assert words in state()["events"][-1]["message"]


def test_train_moves_no_alias(run_round: Callable[..., None]) -> None:
    put(then="train")
    run_round(new_difference=0.5)
    assert kinds()[-1] == "passed"
    assert production() == 1


def test_without_the_old_dataset_nothing_is_trained(run_round: Callable[..., None], watched: str) -> None:
    with transaction() as session:
        row = session.get(Dataset, watched)
        assert row is not None
        row.deleted_at = row.created_at
    label(45)
    adapt_models()
    assert kinds()[-1] == "skipped"
    assert "was deleted" in state()["events"][-1]["message"]
    adapt_models()
    assert kinds().count("skipped") == 1


def test_a_failed_training_is_listed_and_waits_for_new_feedback(watched: str) -> None:
    label(45)
    adapt_models()
    finish_dataset()
    claim = claim_job(newest_job(JobKind.FINETUNE).id)
    with transaction() as session:
        jobs.fail(session, claim, error={"code": "x", "message": "it diverged", "hint": None, "user_fault": True})
    adapt_models()
    adapt_models()
    assert kinds()[-1] == "training_failed"
    assert "it diverged" in state()["events"][-1]["message"]
    assert state()["round"] is None


def test_a_promoted_version_that_fails_is_moved_back(run_round: Callable[..., None]) -> None:
    run_round(new_difference=0.5)
    with transaction() as session:
        row = watches.get(session, "shades")
        watches.add_figures(session, row.id, {"1": {"requests": 500, "errors": 1}, "2": {"requests": 20, "errors": 6}})
    adapt_models()
    assert kinds()[-1] == "restored"
    assert "6 of 20 requests failed" in state()["events"][-1]["message"]
    assert production() == 1
    adapt_models()
    assert (kinds()[-1], state()["guard"]) == ("restored", None)


def test_one_failed_request_restores_no_version_that_had_no_requests(run_round: Callable[..., None]) -> None:
    run_round(new_difference=0.5)
    with transaction() as session:
        watches.add_figures(session, watches.get(session, "shades").id, {"2": {"requests": 20, "errors": 1}})
    adapt_models()
    assert production() == 2


def test_a_promoted_version_whose_answers_are_wrong_is_moved_back(run_round: Callable[..., None]) -> None:
    run_round(new_difference=0.5)
    label(20, version=2, is_right=True, start=100)
    adapt_models()
    assert production() == 2
    label(20, version=2, is_right=False, start=200)
    adapt_models()
    assert production() == 1
    assert "20 of 40 answers were right" in state()["events"][-1]["message"]


def test_a_version_that_is_deleted_before_its_promotion_ends_the_round(watched: str, tmp_path: Path) -> None:
    label(45)
    adapt_models()
    finish_dataset()
    finish_training(tmp_path / "trained")
    adapt_models()
    finish_comparison(new_difference=0.5)
    with transaction() as session:
        models.delete(session, "shades", 2)
    adapt_models()
    assert (kinds()[-1], state()["round"], production()) == ("refused", None, 1)
    assert "version 2 passes the gate, but was deleted meanwhile" in state()["events"][-1]["message"]


def test_a_watch_that_is_off_during_a_round_can_be_removed_once_its_job_has_ended(watched: str) -> None:
    label(45)
    adapt_models()
    with transaction() as session:
        watches.put(session, "shades", keep="off", fraction=1.0, options=OPTIONS)
    job = newest_job(JobKind.FINETUNE)
    with transaction() as session, pytest.raises(Conflict, match=f"cancel job {job.id}, or wait"):
        watches.remove(session, "shades")
    with transaction() as session:
        jobs.cancel(session, job.id)
    adapt_models()
    with transaction() as session:
        watches.remove(session, "shades")
        assert watches.find(session, "shades") is None


def test_a_move_by_hand_ends_the_guard(run_round: Callable[..., None]) -> None:
    run_round(new_difference=0.5)
    with transaction() as session:
        models.set_alias(session, "shades", "production", 1)
    adapt_models()
    assert kinds()[-1] == "guard_ended"


def test_clean_replays_raise_no_more_alarms_than_stated() -> None:
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(2000 + seed)
        rows = [
            RequestRecord(
                label="ab"[int(rng.integers(2))],
                confidence=float(rng.beta(8, 2)),
                statistics=rng.normal(size=5).tolist(),
                embedding=rng.normal(size=16).astype(np.float32).tobytes(),
            )
            for _ in range(400)
        ]
        alarms += bool(VersionMonitors(1, sorted(DRIFT_TESTS)).update(rows))
    # With a probability of 0.01 of each replay, more than 3 of 100 happen less than twice in 100 times.
    assert alarms <= 3
