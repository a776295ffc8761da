"""Guards a promoted version, and restores the earlier one if it does worse."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from store import models
from store.adaptation import feedback, watches
from store.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from store.tables import Watch

log = logging.getLogger(__name__)

#: Requests of a version from which on its errors count.
MIN_REQUESTS: Final = 10
#: Answers of a version with feedback from which on its live accuracy counts.
MIN_LABELED: Final = 10


def guard_promotion(session: Session, watch: Watch, version: int) -> None:
    """Restore the earlier version if the promoted one does worse; end the guard in time.

    `version` is that of the alias. The row is locked by the caller.
    """
    guard = watch.state.get("guard")
    if guard is None:
        return
    if version != guard["version"]:
        watch.state = {**watch.state, "guard": None}
        watches.add_event(watch, "guard_ended", f"{watch.options['alias']} was moved to version {version}")
    elif reason := _find_fault(session, watch):
        _restore(session, watch, reason)
    elif datetime.now(UTC) - datetime.fromisoformat(guard["since"]) > timedelta(hours=watch.options["guard_hours"]):
        watch.state = {**watch.state, "guard": None}
        watches.add_event(watch, "confirmed", f"version {version} did well for {watch.options['guard_hours']:g} hours")


def _find_fault(session: Session, watch: Watch) -> str | None:
    """Return why the promoted version does worse than the earlier one, or None."""
    from ml.metrics.base import wilson_interval

    guard = watch.state["guard"]
    new, earlier = (watch.figures.get(str(guard[name]), {}) for name in ("version", "earlier"))
    requests, errors = new.get("requests", 0), new.get("errors", 0)
    if requests >= MIN_REQUESTS and errors:
        count = earlier.get("requests", 0)
        # Without requests of the earlier version, a few errors may be as usual.
        usual = wilson_interval(earlier.get("errors", 0) / count if count else 0.0, count or MIN_REQUESTS)[1]
        if wilson_interval(errors / requests, requests)[0] > usual:
            return f"{errors} of {requests} requests failed"
    total, right = feedback.live_accuracy(session, watch.model_name, guard["version"], since=guard["feedback_since"])
    if total < MIN_LABELED:
        return None
    upper = wilson_interval(right / total, total)[1]
    if upper < guard["expected"]:
        return f"{right} of {total} answers were right, and at least {guard['expected']:.0%} were expected"
    old_total, old_right = feedback.live_accuracy(session, watch.model_name, guard["earlier"])
    if old_total >= MIN_LABELED and upper < old_right / old_total:
        return f"{right} of {total} answers were right, of the earlier version {old_right} of {old_total}"
    return None


def _restore(session: Session, watch: Watch, reason: str) -> None:
    guard, alias = watch.state["guard"], watch.options["alias"]
    try:
        models.set_alias(session, watch.model_name, alias, guard["earlier"])
    except NotFound:
        message = f"version {guard['version']} does worse ({reason}), and version {guard['earlier']} was deleted"
        kind = "not_restored"
    else:
        message = f"{alias} moves back from version {guard['version']} to {guard['earlier']}: {reason}"
        kind = "restored"
    # The same feedback must not start the same training again.
    last = feedback.last_id(session, watch.model_name)
    watch.state = {**watch.state, "guard": None, "feedback_until": last}
    watches.add_event(watch, kind, message, version=guard["earlier"])
    log.warning("%s: %s", watch.model_name, message)
