"""Periods of a run, from the first reports of its phases and epochs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What a run does before it reports its first phase: imports, and fetching data and models.
FIRST_PHASE: Final = "starting"
#: Epochs of one run that have a period of their own; further ones belong to the last of them.
MAX_EPOCHS: Final = 200


@dataclass(frozen=True, slots=True)
class Period:
    """One phase of a run, or one epoch of it.

    Times are nanoseconds since 1970.
    """

    name: str
    start_ns: int
    end_ns: int
    #: Number of the epoch from 1; None for a phase.
    epoch: int | None = None
    epochs: list[Period] = field(default_factory=list)


def arrange(starts: Sequence[tuple[str, int | None, int]], *, start_ns: int, end_ns: int) -> list[Period]:
    """Return the phases of a run in order, with their epochs, and without gaps.

    `starts` are phase, epoch and time of their first reports, in order. The clock of the database may differ from that
    of this machine, so all times are moved into the run.
    """
    moments = [(phase, epoch, min(max(at_ns, start_ns), end_ns)) for phase, epoch, at_ns in starts]
    firsts = [(FIRST_PHASE, start_ns)]
    firsts += [
        (phase, at_ns)
        for number, (phase, _, at_ns) in enumerate(moments)
        if number == 0 or moments[number - 1][0] != phase
    ]
    periods = []
    for number, (phase, at_ns) in enumerate(firsts):
        until_ns = firsts[number + 1][1] if number + 1 < len(firsts) else end_ns
        own = [
            (epoch, epoch_ns) for name, epoch, epoch_ns in moments if name == phase and at_ns <= epoch_ns <= until_ns
        ]
        periods.append(Period(f"job.{phase}", at_ns, until_ns, epochs=_arrange_epochs(own, until_ns)))
    return periods


def _arrange_epochs(starts: Sequence[tuple[int | None, int]], end_ns: int) -> list[Period]:
    numbered = [(epoch, at_ns) for epoch, at_ns in starts if epoch]
    # Phases around the training report its last epoch: only what changes is an epoch of this phase.
    if len(numbered) < 2:
        return []
    numbered = numbered[:MAX_EPOCHS]
    ends = [at_ns for _, at_ns in numbered[1:]] + [end_ns]
    return [Period("job.epoch", at_ns, until, epoch) for (epoch, at_ns), until in zip(numbered, ends, strict=True)]
