"""Progress of a job: a bar on a terminal, elsewhere one line an epoch."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from plinth.cli.render import console, follow_with_bar, format_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plinth.client.client import Plinth
    from plinth.client.types import Event, Job

TRAINING = "training"
#: Metric of a step, which the metrics of an epoch do not have.
STEP_METRIC = "train/learning_rate"
EPOCH = re.compile(r"epoch (\d+) of (\d+)")


def follow(plinth: Plinth, job_id: str, *, quiet: bool = False) -> Job:
    """Show the progress of a job until it has ended; returns the ended job."""
    if console.is_terminal and not quiet:
        return follow_with_bar(plinth, job_id)
    if not quiet:
        return follow_in_lines(plinth, job_id)
    for _ in plinth.jobs.events(job_id):
        pass
    return plinth.jobs.get(job_id)


def follow_in_lines(plinth: Plinth, job_id: str) -> Job:
    """Print a line for each epoch, phase and message until the job has ended."""
    lines = ProgressLines()
    for event in plinth.jobs.events(job_id):
        if text := lines.add(event):
            console.print(escape(text), soft_wrap=True)
    return plinth.jobs.get(job_id)


class ProgressLines:
    """Turns events into lines; most events add nothing to print."""

    def __init__(self) -> None:
        self._phase = TRAINING
        self._eta_seconds = 0.0
        #: Metrics of the ends of epochs whose message has not come yet.
        self._epochs: deque[Mapping[str, Any]] = deque()

    def add(self, event: Event) -> str | None:
        """Return the line to print after an event, or None."""
        match event.kind:
            case "log":
                message = str(event.data.get("message", ""))
                if EPOCH.fullmatch(message):
                    return self._describe_epoch(message, event.data.get("step"))
                return message or None
            case "metric" if STEP_METRIC not in event.data:
                self._epochs.append(event.data)
            case "progress":
                return self._add_progress(event.data)
        return None

    def _add_progress(self, progress: Mapping[str, Any]) -> str | None:
        self._eta_seconds = float(progress.get("eta_seconds") or 0.0)
        phase = str(progress.get("phase") or "")
        if phase in (self._phase, ""):
            return None
        self._phase = phase
        return None if phase == TRAINING else phase

    def _describe_epoch(self, message: str, step: int | None) -> str:
        metrics = self._take_metrics(step)
        names = sorted(metrics.keys() - {"step"}, key=lambda name: (not name.startswith("validation/"), name))
        remaining = [f"{self._eta_seconds:.0f} s left"] if self._eta_seconds >= 1 else []
        values = [f"{name} {format_number(metrics[name])}" for name in names]
        return "   ".join([EPOCH.sub(r"epoch \1/\2", message), *values, *remaining])

    def _take_metrics(self, step: int | None) -> Mapping[str, Any]:
        """Return the metrics of an epoch that ended at a step, and forget those before.

        Several epochs may pass without a message, as a round of few rows is several epochs. Older servers send no
        step: their messages come in the order of their metrics.
        """
        while self._epochs:
            metrics = self._epochs.popleft()
            if step is None or metrics.get("step") == step:
                return metrics
        return {}
