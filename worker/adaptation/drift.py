"""Reads new records of a watched model by its drift tests."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from store.adaptation import records, watches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from store.tables import Watch

log = logging.getLogger(__name__)

#: Records that are read in one round.
MAX_RECORDS: Final = 1_000
#: Points of the evidence of one test that are stored; beyond, every other one is dropped.
MAX_POINTS: Final = 200


def check_drift(session: Session, watch: Watch, version: int) -> None:
    """Read the records that no test has read, and store the state of the tests.

    `version` is that of the alias: records of others say nothing about it. The row is locked by the caller.
    """
    rows = records.list_unchecked(session, watch.model_name, limit=MAX_RECORDS)
    if not rows:
        return
    # Imported when first needed: most workers watch nothing.
    from ml.drift import DRIFT_TESTS
    from worker.adaptation.monitors import VersionMonitors

    names = sorted(DRIFT_TESTS) if watch.options["drift"] == "auto" else watch.options["drift"]
    monitors = VersionMonitors.load(watch.monitors) if watch.monitors else None
    if monitors is None or monitors.version != version:
        monitors = VersionMonitors(version, names)
        watch.state = {**watch.state, "alarm": None}
    own = [row for row in rows if row.version == version]
    alarms = monitors.update(own) if own else []
    records.check(session, rows)
    watch.monitors = monitors.save()
    watch.state = {**watch.state, "drift": _with_evidence(monitors.describe(), watch.state.get("drift", []))}
    for state in watch.state["drift"]:
        if state["test"] in alarms:
            message = f"{state['test']} sees drift of version {version} after {state['alarm_row']} rows"
            watches.add_event(watch, "drift", message, test=state["test"], version=version, rows=state["alarm_row"])
            log.warning("%s: %s", watch.model_name, message)
    if alarms and not watch.state.get("alarm"):
        alarm = {"test": alarms[0], "version": version, "at": datetime.now(UTC).isoformat()}
        watch.state = {**watch.state, "alarm": alarm}


def _with_evidence(states: list[dict[str, Any]], earlier: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the states of the tests with their values until now, as `evidence`.

    A test that starts anew, with another version or reference, has none.
    """
    points_before = {
        (state["test"], state["version"]): state.get("evidence", []) for state in earlier if state.get("rows")
    }
    for state in states:
        points = list(points_before.get((state["test"], state["version"]), ()))
        if points and state["rows"] < points[-1]["rows"]:
            points = []
        if state["rows"] and (not points or state["rows"] > points[-1]["rows"]):
            points.append({"rows": state["rows"], "value": state["value"], "at": datetime.now(UTC).isoformat()})
        state["evidence"] = points if len(points) <= MAX_POINTS else [*points[:-1:2], points[-1]]
    return states
