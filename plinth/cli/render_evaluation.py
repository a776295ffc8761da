"""Prints the slices and mistakes of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from plinth.cli.render import console, format_number, make_table

if TYPE_CHECKING:
    from plinth.client.types import Mistake

SLICES_SHOWN = 8
#: Characters of a text, or of a value, of a mistaken row.
TEXT_SHOWN = 60


def print_slices(slices: Sequence[Mapping[str, Any]]) -> None:
    """Print the worst slices; those that are certainly worse than all rows are marked."""
    if not slices:
        return
    table = make_table("column", "slice", "rows", str(slices[0]["metric"]), "95 % interval")
    for part in slices[:SLICES_SHOWN]:
        bounds = part.get("interval")
        interval = f"{format_number(bounds[0])} to {format_number(bounds[1])}" if bounds else ""
        value = format_number(part["metric_value"])
        value = f"[yellow]{value}[/]" if part.get("is_worse") else value
        name = f"{part['measure']} {part['value']}"
        table.add_row(escape(part["column"]), escape(name), str(part["rows"]), value, interval)
    console.print("\nThe worst slices")
    console.print(table)


def print_robustness(section: Mapping[str, Any] | None) -> None:
    """Print the metric by corruption and level, and under attack by radius."""
    if not section:
        return
    table = make_table("corruption", "weak", "medium", "strong")
    rows: dict[str, list[str]] = {}
    for entry in section["corruptions"]:
        rows.setdefault(entry["corruption"], []).append(format_number(entry["metric_value"]))
    for name, values in rows.items():
        table.add_row(escape(name.replace("_", " ")), *values)
    clean = format_number(section["clean"]["metric_value"])
    if rows:
        console.print(f"\n{section['metric']} on corrupted rows; without a corruption it is {clean}")
        console.print(table)
    radii = [entry for entry in (section.get("attack") or {}).get("radii", ()) if "accuracy" in entry]
    if radii:
        shown = ", ".join(f"{format_number(entry['accuracy'])} at {entry['radius']:g}" for entry in radii)
        console.print(f"accuracy under attack, by radius: {shown}")


def print_mistakes(mistakes: Sequence[Mistake]) -> None:
    """Print mistaken rows, the surest first."""
    if not mistakes:
        return
    table = make_table("row", "from", "input", "answer", "truth", "confidence")
    for mistake in mistakes:
        confidence = "" if mistake.confidence is None else format_number(mistake.confidence)
        cells = (_format_origin(mistake), _shorten_input(mistake.input), str(mistake.answer), str(mistake.truth))
        table.add_row(str(mistake.index), *(escape(cell[:TEXT_SHOWN]) for cell in cells), confidence)
    console.print(f"\nMistakes in the split {mistakes[0].split}; rows count from 0")
    console.print(table)


def _format_origin(mistake: Mistake) -> str:
    """Return file and row of the upload, such as `reviews.csv:17`."""
    number = mistake.row or mistake.line
    return (mistake.file or "") + (f":{number}" if number else "")


def _shorten_input(values: Mapping[str, Any]) -> str:
    """Describe an input in a line; files are left out, as base64 says nothing."""
    shown = {name: value for name, value in values.items() if name not in ("image", "audio", "pixels")}
    if list(shown) == ["text"]:
        return str(shown["text"])
    return ", ".join(f"{name}: {value}" for name, value in shown.items())


def print_recommendations(examples: Sequence[Mapping[str, Any]]) -> None:
    """Print what users had, what came next, and what the model recommends."""
    if not examples:
        return
    table = make_table("row", "had last", "then", "place", "recommended")
    for example in examples:
        names = [", ".join(map(_name_item, items)) for items in (example["history"][-3:], example["recommended"][:3])]
        following = _name_item(example["next"]) if example.get("next") else "a new item"
        place = "" if example.get("rank") is None else str(example["rank"])
        table.add_row(str(example["index"]), *map(escape, (names[0], following, place, names[1])))
    console.print("\nUsers without their last item, its place among the recommended ones, and the first of these")
    console.print(table)


def _name_item(item: Mapping[str, Any]) -> str:
    return str(item.get("title") or item["item"])
