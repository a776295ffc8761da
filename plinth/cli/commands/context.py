"""Arguments and helpers that the commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from plinth.client.client import Plinth

JobId = Annotated[str, typer.Argument(help="Job id, or `last` for the newest job.", metavar="JOB")]
ModelReference = Annotated[str, typer.Argument(help="Model as name, name@3 or name@alias.", metavar="MODEL")]
DatasetReference = Annotated[str, typer.Argument(help="Dataset as name, name@2 or id.", metavar="DATASET")]


@contextmanager
def connect() -> Iterator[Plinth]:
    """Yield a client of the service that the environment or home folder names."""
    from plinth.client.client import Plinth

    with Plinth() as plinth:
        yield plinth


def resolve_job_id(plinth: Plinth, reference: str) -> str:
    """Return the reference itself, or the id of the newest job for `last`."""
    from plinth.client.errors import PlinthError

    if reference != "last":
        return reference
    newest_jobs = plinth.jobs.list(limit=1)
    if not newest_jobs:
        raise PlinthError("No job exists yet. Start one with: plinth train DATASET --model NAME")
    return newest_jobs[0].id


def print_json(result: Any) -> None:
    """Print a complete result as JSON."""
    from dataclasses import asdict

    sys.stdout.write(json.dumps(asdict(result), indent=2, default=str) + "\n")
