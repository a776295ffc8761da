"""Answers of `plinth predict`: lines for people, JSON lines, and tables."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from rich.markup import escape

from plinth.cli.render import console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plinth.cli.prediction_inputs import NamedInput

#: Column of the name of an input that is no row of a table.
INPUT = "input"
#: Prefix of an answer whose column the table has already.
PREFIX = "predicted_"


def print_answers(inputs: Sequence[NamedInput], outputs: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each input: short on a terminal, complete JSON in a pipe."""
    for item, output in zip(inputs, outputs, strict=True):
        if sys.stdout.isatty() and "label" in output and "confidence" in output:
            name = f"{escape(item.name)}  " if item.name else ""
            console.print(f"{name}[bold]{escape(str(output['label']))}[/]  {output['confidence']:.1%}")
        else:
            named = {INPUT: item.name, **output} if item.name else output
            sys.stdout.write(json.dumps(named) + "\n")


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
    scalars = {name: value for name, value in output.items() if not isinstance(value, dict | list)}
    return scalars or {name: json.dumps(value, ensure_ascii=False) for name, value in output.items()}


def _to_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
