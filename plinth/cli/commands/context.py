"""Arguments, options and helpers that the commands share."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plinth.cli.commands import completion

if TYPE_CHECKING:
    from plinth.client.client import Plinth

#: A complete id of the API, like `job_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c`.
FULL_ID_LENGTH = 32
#: Ids that are listed when a beginning is ambiguous.
MAX_MATCHES = 5

JobId = Annotated[
    str,
    typer.Argument(
        help="Job id or its beginning, or `last` for the newest job.",
        metavar="JOB",
        autocompletion=completion.job_ids,
    ),
]
JobIds = Annotated[
    list[str] | None,
    typer.Argument(help="Job ids or their beginnings, or `last`.", metavar="JOB", autocompletion=completion.job_ids),
]
ModelReference = Annotated[
    str,
    typer.Argument(
        help="Model as name, name@3 or name@alias.", metavar="MODEL", autocompletion=completion.model_references
    ),
]
DatasetReference = Annotated[
    str,
    typer.Argument(
        help="Dataset as name, name@2, or id or its beginning.",
        metavar="DATASET",
        autocompletion=completion.dataset_references,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer of the API as JSON, and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@contextmanager
def connect() -> Iterator[Plinth]:
    """Yield a client of the service that the environment or home folder names."""
    from plinth.client.client import Plinth

    with Plinth() as plinth:
        yield plinth


def resolve_job_id(plinth: Plinth, reference: str) -> str:
    """Return the id of a job from its id, its beginning, or `last`.

    Raises `PlinthError` if no job or several jobs begin so.
    """
    from plinth.client.errors import PlinthError

    if reference != "last":
        listing = lambda prefix: plinth.jobs.list(id_prefix=prefix, limit=MAX_MATCHES)  # noqa: E731 - typed by its use
        return _complete_id(reference, "job", listing, command="plinth jobs")
    newest_jobs = plinth.jobs.list(limit=1)
    if not newest_jobs:
        raise PlinthError("No job exists yet. Start one with: plinth train DATASET")
    return newest_jobs[0].id


def resolve_dataset(plinth: Plinth, reference: str) -> str:
    """Return a dataset reference, with the beginning of an id completed."""
    if not reference.startswith("ds_"):
        return reference
    listing = lambda prefix: plinth.datasets.list(id_prefix=prefix, limit=MAX_MATCHES)  # noqa: E731 - typed by its use
    return _complete_id(reference, "ds", listing, command="plinth datasets --json")


def resolve_key_id(plinth: Plinth, reference: str) -> str:
    """Return the id of a key from its id, its beginning or its name."""
    from plinth.client.errors import PlinthError

    live = [key for key in plinth.keys.list() if key.revoked_at is None]
    named = [key.id for key in live if key.name == reference]
    if len(named) > 1:
        raise PlinthError(f"{len(named)} keys are named {reference!r}: {', '.join(named)}. Name one by its id.")
    if named:
        return named[0]
    listing = lambda prefix: [key for key in live if key.id.startswith(prefix)]  # noqa: E731 - typed by its use
    return _complete_id(reference, "key", listing, command="plinth keys")


def resolve_webhook_id(plinth: Plinth, reference: str) -> str:
    """Return the id of a webhook from its id or its beginning."""
    listing = lambda prefix: [row for row in plinth.webhooks.list() if row.id.startswith(prefix)]  # noqa: E731 - as above
    return _complete_id(reference, "whk", listing, command="plinth webhooks")


def _complete_id(reference: str, prefix: str, listing: Callable[[str], Sequence[Any]], *, command: str) -> str:
    beginning = reference if reference.startswith(f"{prefix}_") else f"{prefix}_{reference}"
    hexadecimal = beginning.removeprefix(f"{prefix}_")
    if len(hexadecimal) >= FULL_ID_LENGTH or not re.fullmatch("[0-9a-f]+", hexadecimal):
        return reference
    from plinth.client.errors import PlinthError

    matches = [item.id for item in listing(beginning)]
    if len(matches) == 1:
        return str(matches[0])
    if not matches:
        raise PlinthError(f"No id begins with {beginning}. `{command}` lists them.")
    more = " and more" if len(matches) >= MAX_MATCHES else ""
    raise PlinthError(f"{beginning} is ambiguous: {', '.join(matches)}{more}. Type more characters.")


def print_json(result: Any) -> None:
    """Print a result, or a list of results, as the JSON that the API sent."""
    from plinth.client.types import to_document

    if isinstance(result, Sequence) and not isinstance(result, str):
        document: Any = {"object": "list", "data": [to_document(item) for item in result]}
    else:
        document = to_document(result)
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost; without a terminal, `--yes` is required."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} Nobody can be asked here: repeat the command with --yes.")
    if not typer.confirm(question):
        raise typer.Exit(1)


def parse_assignments(text: str | None, option: str, *, example: str) -> Any:
    """Parse `a=b,c=1` or a JSON object; None stays None."""
    if text is None:
        return None
    if text.lstrip().startswith("{"):
        return parse_json(text, option)
    assignments: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not value:
            raise typer.BadParameter(f"{part!r} is not name=value; write {example}, or JSON", param_hint=option)
        assignments[name] = _parse_value(value)
    return assignments


def parse_json(text: str | None, option: str) -> Any:
    """Parse an option that is JSON; None stays None."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON ({error}); quote all of it for the shell", param_hint=option) from None


def apply_setting(spec: dict[str, Any], setting: str) -> None:
    """Set a field of the spec from `path=value`, like `schedule.decay=cosine`.

    The value is parsed as JSON, and used as text if it is no JSON.
    """
    path, equals, text = setting.partition("=")
    if not equals:
        raise typer.BadParameter(
            f"{setting!r} has no `=`; write path=value, like schedule.decay=cosine", param_hint="--set"
        )
    *parents, last = path.split(".")
    parent = spec
    for name in parents:
        inner = parent.setdefault(name, {})
        parent[name] = parent = dict(inner) if isinstance(inner, Mapping) else {"name": inner}
    parent[last] = _parse_value(text)


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
