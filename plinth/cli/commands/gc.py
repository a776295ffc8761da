"""`plinth gc`: show what takes disk space, and delete what is of no use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from plinth.cli.commands.context import AsJson, Yes, confirm, connect, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plinth.client.types import DiskPart, DiskSpace

#: Kinds that have a retention, as `GET /api/v1/disk` names them.
KINDS = ("checkpoints", "uploads", "exports", "logs", "events", "encoded")

Kinds = Annotated[
    list[str] | None,
    typer.Argument(
        help=f"Only these kinds: {', '.join(KINDS)} (default: all).",
        metavar="KIND",
        autocompletion=lambda incomplete: [kind for kind in KINDS if kind.startswith(incomplete)],
    ),
]
OlderThanDays = Annotated[
    float | None,
    typer.Option(
        "--older-than",
        help="Days instead of the retention of the settings; 0 deletes all that is of no use.",
        metavar="DAYS",
        min=0,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, and delete nothing.")]


def gc(
    kinds: Kinds = None,
    older_than_days: OlderThanDays = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show what takes disk space, and delete what is of no use.

    The worker does so every ten minutes; this command does it now, or sooner than the settings say.
    """
    from plinth.cli.render import console, format_count, format_size

    with connect() as plinth:
        space = plinth.disk.measure(older_than_days=older_than_days)
        selected = _select(space.kinds, kinds or ())
        if not as_json:
            _print_space(space, selected)
        elif dry_run:
            print_json(space)
        count, size = sum(part.expired_count for part in selected), sum(part.expired_bytes for part in selected)
        if dry_run or (not count and not as_json):
            if not as_json:
                console.print("Nothing was deleted." if dry_run else "Nothing is to be deleted.")
            return
        confirm(f"Delete {format_count(count, 'item')} of {format_size(size)}?", yes=yes)
        cleaned = plinth.disk.clean([part.kind for part in selected], older_than_days=older_than_days)
    if as_json:
        print_json(cleaned)
        return
    for part in cleaned.deleted:
        if part.count:
            console.print(f"Deleted {format_count(part.count, 'item')} of {part.kind}, {format_size(part.bytes)}.")


def _select(parts: Sequence[DiskPart], kinds: Sequence[str]) -> list[DiskPart]:
    names = [part.kind for part in parts]
    if unknown := [kind for kind in kinds if kind not in names]:
        raise typer.BadParameter(f"there is no {', '.join(map(repr, unknown))}; the kinds are {', '.join(names)}")
    return [part for part in parts if not kinds or part.kind in kinds]


def _print_space(space: DiskSpace, selected: Sequence[DiskPart]) -> None:
    from plinth.cli.render import console, format_count, format_size, make_table

    table = make_table("kind", "items", "size", "to delete", "kept for", ids=[part.kind for part in space.kinds])
    for part in space.kinds:
        is_deletable = part in selected and part.expired_count
        days = "until deleted" if part.retention_days is None else format_count(part.retention_days, "day")
        table.add_row(
            part.kind,
            f"{part.count:,}",
            format_size(part.bytes),
            f"{part.expired_count:,} ({format_size(part.expired_bytes)})" if is_deletable else "-",
            days,
        )
    console.print(table)
    console.print(f"{format_size(space.free_bytes)} of {format_size(space.total_bytes)} free", soft_wrap=True)
