"""`plinth predict`: run a model on texts, files, folders, tables and standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plinth.cli.commands.context import AsJson, ModelReference, connect, parse_assignments, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plinth.cli.prediction_inputs import NamedInput
    from plinth.client.client import Plinth
    from plinth.client.errors import APIError

#: Inputs of one request.
BATCH = 64


def predict(
    model: ModelReference,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="A text, files, folders, a table (CSV, TSV, JSONL), JSON, or `-` for standard input.",
            metavar="INPUT",
        ),
    ],
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Return the embedding of the backbone instead of the prediction.")
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Field of the input = column of a table, like text=message (default: equal names).",
            metavar="FIELD=COLUMN,...",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write to: .csv, or .jsonl with complete answers.")
    ] = None,
    budget_ms: Annotated[
        float | None,
        typer.Option(help="Milliseconds that a request may take: the largest nested size in time answers.", min=0.001),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a model on texts, files, or tables, which get the answers as columns."""
    from plinth.cli.prediction_inputs import read_inputs

    parameters = {"return": "embedding"} if embedding else None
    with connect() as plinth:
        mapping = parse_assignments(columns, "--columns", example="text=message")
        reader = read_inputs(plinth, model, inputs, columns=mapping)
        answers = [_run(plinth, model, batch, parameters, budget_ms) for batch in _batches(reader.inputs)]
    outputs = [output for answer in answers for output in answer["outputs"]]
    if as_json:
        print_json({**answers[0], "outputs": outputs})
        return
    _write(reader.inputs, outputs, is_table=reader.is_table, output=output)


def _batches(inputs: Sequence[NamedInput]) -> list[Sequence[NamedInput]]:
    """Split into requests, which hold either files or JSON inputs."""
    batches: list[list[NamedInput]] = []
    for item in inputs:
        is_new = not batches or len(batches[-1]) >= BATCH or batches[-1][0].is_file != item.is_file
        if is_new:
            batches.append([])
        batches[-1].append(item)
    return list(batches)


def _run(
    plinth: Plinth,
    model: str,
    batch: Sequence[NamedInput],
    parameters: Mapping[str, Any] | None,
    budget_ms: float | None,
) -> Mapping[str, Any]:
    from plinth.client.errors import APIError, PlinthError
    from plinth.client.types import to_document

    try:
        values = [item.value for item in batch]
        prediction = plinth.predict(model, values, parameters=parameters, budget_ms=budget_ms)
    except APIError as error:
        names = ", ".join(_faulty_names(error, batch)) or batch[0].name
        if not names:
            raise
        raise PlinthError(f"{names}: {error}") from error
    document: Mapping[str, Any] = to_document(prediction)
    return document


def _faulty_names(error: APIError, batch: Sequence[NamedInput]) -> list[str]:
    """Return the names of the inputs that an error is about, from paths like `inputs.3.text`."""
    paths = [(finding.get("path") or "").split(".") for finding in error.errors]
    numbers = {int(path[1]) for path in paths if len(path) > 1 and path[0] == "inputs" and path[1].isdecimal()}
    return [batch[number].name for number in sorted(numbers) if number < len(batch)]


def _write(
    inputs: Sequence[NamedInput], outputs: Sequence[Mapping[str, Any]], *, is_table: bool, output: Path | None
) -> None:
    from plinth.cli.prediction_outputs import print_answers, write_csv, write_jsonl

    if output is not None and output.suffix in (".jsonl", ".ndjson"):
        with output.open("w", encoding="utf-8") as file:
            write_jsonl(inputs, outputs, file)
    elif output is not None:
        with output.open("w", encoding="utf-8", newline="") as file:
            write_csv(inputs, outputs, file)
    elif is_table:
        write_csv(inputs, outputs, sys.stdout)
    else:
        print_answers(inputs, outputs)
    if output is not None:
        from plinth.cli.render import console

        console.print(f"Wrote {len(outputs)} rows to {output}.", soft_wrap=True, markup=False)
