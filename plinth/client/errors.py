"""What can go wrong, as a caller sees it.

PlinthError
├── BrokerError       the embedded broker cannot be used (plinth.local.broker)
├── StackError        the service cannot be started (plinth.local.stack)
├── Unreachable       nothing answers at the address
├── Refused           the service answered with a problem document
│   ├── Unauthorized  401
│   ├── NotFound      404
│   └── Conflict      409, 412
└── NotFinished       something that was waited for ended otherwise
    ├── DatasetRejected
    └── JobFailed     failed or cancelled
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plinth.client.types import Dataset, DatasetReport, Job

SHOWN_FINDINGS = 10


class PlinthError(Exception):
    """Something the user can act on; the message says how."""


class Unreachable(PlinthError):
    """Nothing answers at the service's address."""


class APIError(PlinthError):
    """The service refused. `problem` is its answer as RFC 9457 describes it."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code: str = problem.get("code", "")
        self.detail: str = problem.get("detail") or problem.get("title") or f"The service answered {status}."
        self.errors: Sequence[Mapping[str, Any]] = problem.get("errors", [])
        self.request_id: str | None = problem.get("request_id")
        super().__init__("\n".join([self.detail, *findings_as_lines(self.errors, told=self.detail)]))


class Unauthorized(APIError):
    """The key is missing, unknown or revoked."""


class NotFound(APIError):
    """There is no such thing."""


class Conflict(APIError):
    """Its state does not allow it, or it changed meanwhile."""


class NotFinished(PlinthError):
    """What was waited for ended, but not as hoped."""


class DatasetRejected(NotFinished):
    """The data cannot be trained on; `report` lists everything that is wrong at once."""

    def __init__(self, dataset: Dataset, report: DatasetReport) -> None:
        self.dataset = dataset
        self.report = report
        findings = findings_as_lines([finding.as_mapping() for finding in report.errors])
        super().__init__("\n".join([f"The data set {dataset.name} was rejected.", *findings]))


class JobFailed(NotFinished):
    """The job ended as failed or cancelled."""

    def __init__(self, job: Job) -> None:
        self.job = job
        lines = [f"{job.id} {job.state}: {job.reason}" if job.reason else f"{job.id} {job.state}."]
        if job.error:
            lines = [f"{job.id} failed: {job.error.message}", *([job.error.hint] if job.error.hint else [])]
        super().__init__("\n".join(lines))


KINDS: Mapping[int, type[APIError]] = {401: Unauthorized, 404: NotFound, 409: Conflict, 412: Conflict}


def to_error(status: int, problem: Mapping[str, Any]) -> APIError:
    """The error that fits a status."""
    return KINDS.get(status, APIError)(status, problem)


def findings_as_lines(findings: Sequence[Mapping[str, Any]], *, told: str = "") -> list[str]:
    """One line for each thing that is wrong and was not `told` already: where, what, and what to do."""
    lines = []
    for finding in findings:
        message = finding.get("message") or finding.get("code", "")
        if message in told:
            continue
        count = f"{finding['count']} x " if finding.get("count", 1) > 1 else ""
        where = ", ".join(
            f"row {finding[key]}" if key == "row" else str(finding[key])
            for key in ("path", "file", "row", "column")
            if finding.get(key) is not None
        )
        hint = f" - {finding['hint']}" if finding.get("hint") else ""
        lines.append(f"  {count}{where + ': ' if where else ''}{message}{hint}")
    more = len(lines) - SHOWN_FINDINGS
    return lines[:SHOWN_FINDINGS] + ([f"  and {more} more"] if more > 0 else [])
