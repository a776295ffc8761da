"""Watches of models: their options, figures and state."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from store import models
from store.adaptation import records
from store.database import lock
from store.errors import Conflict, NotFound
from store.ids import new_id
from store.tables import FINAL_STATES, Alias, Job, Watch, clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

OFF: Final = "off"
SKETCHES: Final = "sketches"
ROWS: Final = "rows"
#: What follows from drift, or from enough feedback.
TELL: Final = "tell"
TRAIN: Final = "train"
PROMOTE: Final = "promote"
#: Events that a watch lists; older ones are dropped.
MAX_EVENTS: Final = 100


def find(session: Session, name: str) -> Watch | None:
    """Return the watch of a model, or None."""
    return session.get(Watch, name, populate_existing=True)


def get(session: Session, name: str) -> Watch:
    """Return the watch of a model; raises `NotFound`."""
    row = find(session, name)
    if row is None:
        models.version(session, name)
        raise NotFound("watch", name)
    return row


def listing(session: Session) -> Sequence[Watch]:
    """List the watches that record something."""
    query = select(Watch).where(Watch.keep != OFF).order_by(Watch.model_name)
    return session.scalars(query.execution_options(populate_existing=True)).all()


def watched_names(session: Session, names: Sequence[str]) -> set[str]:
    """Return which of the models have a watch."""
    return set(session.scalars(select(Watch.model_name).where(Watch.model_name.in_(names))))


def lock_watch(session: Session, watch_id: str) -> Watch | None:
    """Return a watch, locked until the transaction ends; None if it has ended."""
    query = select(Watch).where(Watch.id == watch_id).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def put(session: Session, name: str, *, keep: str, fraction: float, options: Mapping[str, Any]) -> Watch:
    """Set the watch of a model; raises `NotFound`.

    What is recorded already stays unless less is to be kept. The drift tests start anew when they change.
    """
    # An id means a version, too, but what is recorded belongs to a name, and is deleted with it.
    models.latest(session, name)
    lock(session, f"watch {name}")
    # Locked as by `lock_watch`: the loop writes the same state meanwhile.
    query = select(Watch).where(Watch.model_name == name).with_for_update()
    row = session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        row = Watch(model_name=name, id=new_id("wch"), state={}, figures={}, options={}, created_at=clock())
        session.add(row)
    elif row.options["drift"] != options["drift"]:
        row.monitors, row.state = None, {key: value for key, value in row.state.items() if key != "drift"}
    row.keep, row.fraction, row.options, row.updated_at = keep, fraction, dict(options), clock()
    if options["then"] != TELL and keep != OFF:
        _pin_alias(session, row)
    session.flush()
    session.refresh(row)
    if keep == OFF:
        records.delete_all(session, name)
    elif keep == SKETCHES:
        records.delete_inputs(session, name)
    return row


def _pin_alias(session: Session, row: Watch) -> None:
    """Point the alias at the present version if it does not exist.

    Without an alias the latest version answers, so that a new one would before it has passed the gate.
    """
    alias = row.options["alias"]
    if session.get(Alias, (row.model_name, alias)) is None:
        version = models.version(session, row.model_name).version
        models.set_alias(session, row.model_name, alias, version)
        add_event(row, "alias", f"{alias} points at version {version}, so that new versions wait for the gate")


def remove(session: Session, name: str) -> None:
    """End the watch of a model, and delete all records of its requests; raises `NotFound`.

    Raises `Conflict` while a job of it runs.
    """
    row = get(session, name)
    job = session.get(Job, (row.state.get("round") or {}).get("job") or "", populate_existing=True)
    # By the job, not the round alone: that of a watch which was set to `off` meanwhile has no next step.
    if job is not None and job.state not in FINAL_STATES:
        raise Conflict(f"the watch of {name} is training; cancel job {job.id}, or wait")
    session.delete(row)
    records.delete_all(session, name)
    session.flush()


def add_figures(session: Session, watch_id: str, figures: Mapping[str, Mapping[str, int]]) -> None:
    """Add counts by version to those of a watch; ignored where it has ended."""
    row = lock_watch(session, watch_id)
    if row is None:
        return
    total = {version: dict(counts) for version, counts in row.figures.items()}
    for version, counts in figures.items():
        own = total.setdefault(version, {})
        for name, count in counts.items():
            own[name] = own.get(name, 0) + count
    session.execute(update(Watch).where(Watch.id == watch_id).values(figures=total))


def add_event(row: Watch, kind: str, message: str, **fields: Any) -> None:
    """Append an event to the state of a watch."""
    event = {"at": datetime.now(UTC).isoformat(), "kind": kind, "message": message, **fields}
    row.state = {**row.state, "events": [*row.state.get("events", ()), event][-MAX_EVENTS:]}
