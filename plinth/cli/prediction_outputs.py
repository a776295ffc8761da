"""Answers of `plinth predict`: lines for people, JSON lines, and tables."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from rich.markup import escape

from plinth.cli.render import console, make_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plinth.cli.prediction_inputs import NamedInput

#: Column of the name of an input that is no row of a table.
INPUT = "input"
#: Prefix of an answer whose column the table has already.
PREFIX = "predicted_"
#: Decimals of a confidence in a table: a network in 32 bits has no more.
CONFIDENCE_DECIMALS = 6


def print_answers(inputs: Sequence[NamedInput], outputs: Sequence[Mapping[str, Any]]) -> None:
    """Print the answers as lines, short on a terminal, JSON in a pipe.

    Recommended items are a list in both.
    """
    for item, output in zip(inputs, outputs, strict=True):
        if _is_ranking(output.get("items")):
            _print_ranking(item.name, output)
        elif sys.stdout.isatty() and _is_detection(output.get("objects")):
            _print_objects(item.name, output["objects"])
        elif sys.stdout.isatty() and "label" in output and "confidence" in output:
            name = f"{escape(item.name)}  " if item.name else ""
            console.print(f"{name}[bold]{escape(str(output['label']))}[/]  {output['confidence']:.1%}")
        else:
            named = {INPUT: item.name, **output} if item.name else output
            sys.stdout.write(json.dumps(named) + "\n")


def _is_ranking(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, dict) and "item" in item for item in items)


def _is_detection(objects: Any) -> bool:
    return isinstance(objects, list) and all(isinstance(item, dict) and "box" in item for item in objects)


def _print_ranking(name: str, output: Mapping[str, Any]) -> None:
    """Print recommended items with their titles; the profile of the user is left to `--json`."""
    if name:
        console.print(f"[bold]{escape(name)}[/]", soft_wrap=True)
    items = output["items"]
    table = make_table("", "item", "title", "score") if any(map(_title, items)) else make_table("", "item", "score")
    for rank, item in enumerate(items, 1):
        title = [escape(_title(item))] if any(map(_title, items)) else []
        table.add_row(str(rank), escape(str(item["item"])), *title, f"{item.get('score', 0.0):.1%}")
    console.print(table)
    if not items:
        console.print("No item is left to recommend: the history has them all.")
    if unknown := output.get("unknown"):
        verb = "item of the history is" if unknown == 1 else "items of the history are"
        console.print(f"[dim]note:[/] {unknown} {verb} not in the training data, and ignored")
    if output.get("portrait"):
        console.print(f"[dim]portrait:[/] {escape(json.dumps(output['portrait'], ensure_ascii=False))}", soft_wrap=True)


def _title(item: Mapping[str, Any]) -> str:
    return str(item.get("title") or "")


def _print_objects(name: str, objects: Sequence[Mapping[str, Any]]) -> None:
    prefix = f"{escape(name)}  " if name else ""
    if not objects:
        console.print(f"{prefix}nothing detected")
    for item in objects:
        left, top, right, bottom = item["box"]
        box = f"from {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}"
        console.print(f"{prefix}[bold]{escape(str(item.get('label')))}[/]  {item.get('confidence', 0.0):.1%}  {box}")


def write_jsonl(inputs: Sequence[NamedInput], outputs: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    """Write a JSON object for each input: its row or name, and its `output`."""
    for item, output in zip(inputs, outputs, strict=True):
        named = dict(item.row) or ({INPUT: item.name} if item.name else {})
        file.write(json.dumps({**named, "output": output}, ensure_ascii=False) + "\n")


def write_csv(inputs: Sequence[NamedInput], outputs: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    """Write a table: the columns of the input, then the answers.

    Lists and objects of an answer are left out beside single values, and are JSON where there are no others.
    """
    rows = [dict(item.row) or {INPUT: item.name} for item in inputs]
    own_columns = list(dict.fromkeys(name for row in rows for name in row))
    answers = [_to_cells(output) for output in outputs]
    answer_columns = list(dict.fromkeys(name for answer in answers for name in answer))
    renamed = {name: PREFIX + name if name in own_columns else name for name in answer_columns}
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*own_columns, *renamed.values()])
    for row, answer in zip(rows, answers, strict=True):
        writer.writerow(
            [*(_to_cell(row.get(name, "")) for name in own_columns), *(answer.get(name, "") for name in renamed)]
        )


def _to_cells(output: Mapping[str, Any]) -> dict[str, Any]:
    scalars = {name: _round(name, value) for name, value in output.items() if not isinstance(value, dict | list)}
    return scalars or {name: json.dumps(value, ensure_ascii=False) for name, value in output.items()}


def _round(name: str, value: Any) -> Any:
    return round(value, CONFIDENCE_DECIMALS) if name == "confidence" and isinstance(value, float) else value


def _to_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
