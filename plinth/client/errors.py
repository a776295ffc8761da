"""Errors of the client and the command line.

PlinthError
├── BrokerError       the embedded broker cannot start or run (plinth.local.broker)
├── StackError        the service cannot start (plinth.local.stack)
├── Unreachable       no service responds at the URL
├── APIError          the service responded with a problem document
│   ├── Unauthorized  401
│   ├── NotFound      404
│   └── Conflict      409, 412
└── NotFinished       a dataset or job that was waited for did not succeed
    ├── DatasetRejected
    └── JobFailed     failed or cancelled
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plinth.client.types import Dataset, DatasetReport, Job

MAX_FINDINGS_IN_MESSAGE = 10


class PlinthError(Exception):
    """Base class of errors that the user can act on; the message says how."""


def no_such_file(*files: str | Path) -> PlinthError:
    """Return the error for files that do not exist."""
    return PlinthError(f"No such file: {', '.join(map(str, files))}. Paths start in {Path.cwd()}.")


class Unreachable(PlinthError):
    """No service responds at the URL."""


class APIError(PlinthError):
    """The service rejected a request. `problem` is the problem document of its response (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code: str = problem.get("code", "")
        self.detail: str = (
            problem.get("detail") or problem.get("title") or f"The service responded with status {status}."
        )
        self.errors: Sequence[Mapping[str, Any]] = problem.get("errors", [])
        self.request_id: str | None = problem.get("request_id")
        super().__init__("\n".join(_describe(self.detail, self.errors)))


class Unauthorized(APIError):
    """The API key is missing, unknown, expired or revoked."""


class NotFound(APIError):
    """The requested resource does not exist."""


class Conflict(APIError):
    """The state of the resource does not allow the request, or it has changed."""


class NotFinished(PlinthError):
    """A dataset or job ended without success."""


class DatasetRejected(NotFinished):
    """The dataset cannot be used for training; `report` lists all its issues."""

    def __init__(self, dataset: Dataset, report: DatasetReport) -> None:
        self.dataset = dataset
        self.report = report
        lines = format_findings([finding.as_mapping() for finding in report.errors])
        super().__init__("\n".join([f"The dataset {dataset.name} was rejected.", *lines]))


class JobFailed(NotFinished):
    """The job failed or was canceled."""

    def __init__(self, job: Job) -> None:
        self.job = job
        lines = [f"{job.id} {job.state}: {job.reason}" if job.reason else f"{job.id} {job.state}."]
        if job.error:
            lines = [f"{job.id} failed: {job.error.message}", *([job.error.hint] if job.error.hint else [])]
        super().__init__("\n".join(lines))


ERROR_TYPES: Mapping[int, type[APIError]] = {401: Unauthorized, 404: NotFound, 409: Conflict, 412: Conflict}


def to_error(status: int, problem: Mapping[str, Any]) -> APIError:
    """Build the error for an HTTP status and its problem document."""
    return ERROR_TYPES.get(status, APIError)(status, problem)


def _describe(detail: str, findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the detail, or for several findings one line each, with its own hint."""
    if len(findings) < 2:
        return [detail, *format_findings(findings, detail=detail)]
    return [f"The request has {len(findings)} problems:", *format_findings(findings)]


def format_findings(findings: Sequence[Mapping[str, Any]], *, detail: str = "") -> list[str]:
    """Format findings as lines: location, message, values and hint.

    Findings whose message is part of `detail` are skipped; after 10 lines comes the count of those left out.
    """
    lines = []
    for finding in findings:
        message = finding.get("message") or finding.get("code", "")
        if message in detail:
            continue
        count = f"{finding['count']} x " if finding.get("count", 1) > 1 else ""
        location = ", ".join(
            f"row {finding[key]}" if key == "row" else str(finding[key])
            for key in ("path", "file", "row", "column")
            if finding.get(key) is not None
        )
        hint = f" - {finding['hint']}" if finding.get("hint") else ""
        lines.append(f"  {count}{location + ': ' if location else ''}{message}{_format_values(finding, message)}{hint}")
    remaining = len(lines) - MAX_FINDINGS_IN_MESSAGE
    return lines[:MAX_FINDINGS_IN_MESSAGE] + ([f"  and {remaining} more"] if remaining > 0 else [])


def _format_values(finding: Mapping[str, Any], message: str) -> str:
    """Return what was found and what was expected, unless the message has it."""
    values = [
        f"{key} {finding[key]}"
        for key in ("found", "expected")
        if finding.get(key) is not None and str(finding[key]).strip("'") not in message
    ]
    return f" ({', '.join(values)})" if values else ""
