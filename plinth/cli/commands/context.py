"""What commands that speak to a service share."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from plinth.client.client import Plinth

JobId = Annotated[str, typer.Argument(help="The job's id, or `last` for the newest.", metavar="JOB")]
ModelReference = Annotated[str, typer.Argument(help="name, name@3 or name@alias.", metavar="MODEL")]
DatasetReference = Annotated[str, typer.Argument(help="name, name@2 or id.", metavar="DATASET")]


@contextmanager
def connect() -> Iterator[Plinth]:
    """The service of this environment."""
    from plinth.client.client import Plinth

    with Plinth() as plinth:
        yield plinth


def job_id(plinth: Plinth, given: str) -> str:
    """The id that was given; of the newest job for `last`."""
    from plinth.client.errors import PlinthError

    if given != "last":
        return given
    newest = plinth.jobs.list(limit=1)
    if not newest:
        raise PlinthError("There is no job yet. Start one with: plinth train DATASET --model NAME")
    return newest[0].id


def print_json(result: Any) -> None:
    """All of a result, for programs."""
    from dataclasses import asdict

    sys.stdout.write(json.dumps(asdict(result), indent=2, default=str) + "\n")
