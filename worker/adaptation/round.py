"""One round of adaptation: a dataset of feedback, a fine-tuning, a comparison, the gate."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from store import datasets, jobs, models
from store.adaptation import collection, feedback, watches
from store.adaptation.training import make_finetune_spec
from store.errors import Conflict, NotFound
from store.tables import FINAL_STATES, JobKind

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ml.evaluation.comparison import ComparisonReport
    from store.tables import Job, Watch

log = logging.getLogger(__name__)

#: New rows of feedback that suffice once drift is seen.
MIN_ROWS_AFTER_DRIFT: Final = 30
#: Splits of the old dataset that are compared on.
TEST: Final = "test"


def advance(session: Session, watch: Watch, version: int) -> None:
    """Begin a round, or do the next step of the present one.

    `version` is that of the alias. The row is locked by the caller.
    """
    current = watch.state.get("round")
    if current is None:
        if _has_reason(session, watch, version):
            _begin(session, watch, version)
        return
    try:
        job = jobs.get(session, current["job"])
    except NotFound:
        _end(watch, "training_failed", f"the job {current['job']} was deleted")
        return
    if job.state not in FINAL_STATES:
        return
    if job.state != "succeeded":
        reason = (job.error or {}).get("message") or job.reason
        _end(watch, "training_failed", f"{job.kind} {job.id} is {job.state}: {reason}", job=job.id)
    elif current["stage"] == "training":
        _compare(session, watch, job)
    else:
        _judge(session, watch, job, version)


def _has_reason(session: Session, watch: Watch, version: int) -> bool:
    """Return whether there is drift or enough feedback, and feedback to train on."""
    if watch.options["then"] == watches.TELL or watch.state.get("guard"):
        return False
    count = feedback.count(session, watch.model_name, after=watch.state.get("feedback_until", ""))
    has_drift = (watch.state.get("alarm") or {}).get("version") == version
    required = watch.options["min_feedback"]
    if count >= (min(MIN_ROWS_AFTER_DRIFT, required) if has_drift else required):
        return True
    if has_drift and not watch.state["alarm"].get("needs_labels"):
        watch.state = {**watch.state, "alarm": {**watch.state["alarm"], "needs_labels": True}}
        message = f"drift is seen, and {count} of {MIN_ROWS_AFTER_DRIFT} rows have new feedback; label the candidates"
        watches.add_event(watch, "needs_labels", message)
    return False


def _begin(session: Session, watch: Watch, version: int) -> None:
    """Make the dataset, and submit the fine-tuning that waits for it."""
    name = watch.model_name
    until = feedback.last_id(session, name)
    try:
        model = models.version(session, f"{name}@{version}")
        source = collection.find_source(session, name, watch.options["dataset"])
        dataset = collection.collect(session, name, source, column=_column(model.task))
    except (Conflict, NotFound) as error:
        _end(watch, "skipped", f"nothing can be trained: {error}", until=until)
        return
    changes = watch.options["training"]
    spec = make_finetune_spec(session, model, dataset=datasets.reference_of(dataset), changes=changes)
    job = jobs.submit(session, kind=JobKind.FINETUNE, spec=spec, request=spec, dataset_id=dataset.id, model_name=name)
    watch.state = {
        **watch.state,
        "round": {
            "stage": "training",
            "job": job.id,
            "dataset": datasets.reference_of(dataset),
            "version": version,
            "old_rows": (source.summary or {}).get("splits", {}).get(TEST, 0),
            "feedback_until": until,
            "started_at": datetime.now(UTC).isoformat(),
        },
    }
    rows = feedback.count(session, name)
    reason = "drift" if watch.state.get("alarm") else "new feedback"
    message = f"{reason}: {job.id} trains on {datasets.reference_of(dataset)}, with {rows} rows of feedback"
    watches.add_event(watch, "training", message, job=job.id, dataset=datasets.reference_of(dataset))


def _column(task: str | None) -> str:
    from ml.inference.watched_inputs import WATCHED_TASKS

    if task is None or task not in WATCHED_TASKS:
        tasks = ", ".join(sorted(WATCHED_TASKS))
        raise Conflict(f"the model does {task}, which has no labels for feedback; watch a model of {tasks}")
    return WATCHED_TASKS[task]


def _compare(session: Session, watch: Watch, job: Job) -> None:
    """Submit the comparison of the trained version with the present one."""
    current, candidate = watch.state["round"], models.of_job(session, job.id)
    if candidate is None or candidate.deleted_at is not None:
        _end(watch, "training_failed", f"{job.id} has no model any more", job=job.id)
        return
    spec = {
        "kind": JobKind.COMPARE,
        "model": f"{watch.model_name}@{current['version']}",
        "candidate": f"{watch.model_name}@{candidate.version}",
        "dataset": current["dataset"],
        "old_rows": current["old_rows"],
        "robustness": _gate_options(watch).get("robustness") is not None,
    }
    comparison = jobs.submit(session, kind=JobKind.COMPARE, spec=spec, dataset_id=job.dataset_id)
    watch.state = {
        **watch.state,
        "round": {**current, "stage": "comparing", "job": comparison.id, "candidate": candidate.version},
    }


def _judge(session: Session, watch: Watch, job: Job, version: int) -> None:
    """Apply the gate to the comparison, and move the alias where that was chosen."""
    from ml.evaluation.comparison import judge

    current, report = watch.state["round"], job.report or {}
    result = judge(cast("ComparisonReport", report), **_gate_options(watch))
    table = {part: report[part] for part in ("old", "new", "all", "corrupted") if part in report}
    gate = {**result, "version": current["version"], "candidate": current["candidate"], "job": job.id, "table": table}
    watch.state = {**watch.state, "gate": gate}
    sentences = "; ".join(check["message"] for check in result["checks"])
    reference = f"{watch.model_name}@{current['candidate']}"
    if not result["passed"]:
        _end(watch, "refused", f"{reference} stays aside: {sentences}", version=current["candidate"])
    elif watch.options["then"] != watches.PROMOTE:
        _end(watch, "passed", f"{reference} passes the gate: {sentences}", version=current["candidate"])
    elif version != current["version"]:
        _end(watch, "refused", f"{watch.options['alias']} was moved to version {version} meanwhile")
    else:
        _promote(session, watch, sentences)


def _gate_options(watch: Watch) -> dict[str, Any]:
    options = watch.options["gate"]
    return dict(_AUTO_GATE if options == "auto" else options)


def _promote(session: Session, watch: Watch, sentences: str) -> None:
    current, alias = watch.state["round"], watch.options["alias"]
    try:
        models.set_alias(session, watch.model_name, alias, current["candidate"])
    except NotFound:
        _end(watch, "refused", f"version {current['candidate']} passes the gate, but was deleted meanwhile")
        return
    watch.state = {
        **watch.state,
        "guard": {
            "version": current["candidate"],
            "earlier": current["version"],
            "since": datetime.now(UTC).isoformat(),
            "feedback_since": feedback.last_id(session, watch.model_name),
            "expected": watch.state["gate"]["table"]["new"]["candidate"]["interval"][0],
        },
    }
    message = f"{alias} moves from version {current['version']} to {current['candidate']}: {sentences}"
    _end(watch, "promoted", message, version=current["candidate"])
    log.info("%s: %s", watch.model_name, message)


def _end(watch: Watch, kind: str, message: str, *, until: str | None = None, **fields: Any) -> None:
    """End the round; the next one needs new feedback."""
    current = watch.state.get("round") or {}
    last = until or current.get("feedback_until") or watch.state.get("feedback_until", "")
    watch.state = {**watch.state, "round": None, "feedback_until": last}
    watches.add_event(watch, kind, message, **fields)


#: The defaults of the gate, as `app.models.watch_schemas.Gate` states them.
_AUTO_GATE: Final = {"min_test_rows": 15, "max_forgetting": 0.02, "max_calibration_loss": 0.05}
