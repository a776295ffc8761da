"""`plinth feedback`: send true labels, list what to label, make a dataset of it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plinth.cli.commands.adaptation.watch import ModelName
from plinth.cli.commands.context import AsJson, connect, print_json
from plinth.cli.plain_help import PlainTyper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plinth.client.client import Plinth

app = PlainTyper(help="Send true labels, list what to label, make a dataset of it.", no_args_is_help=True)


@app.command("send")
def send_feedback(
    model: ModelName,
    label: Annotated[str, typer.Argument(help="The true label.")],
    request_id: Annotated[str | None, typer.Option(help="Id of an answered request (X-Request-Id).")] = None,
    input: Annotated[str | None, typer.Option(help="A text, a file or JSON, in place of a request.")] = None,
    new_label: Annotated[bool, typer.Option("--new-label", help="Allow a label that the model does not know.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store the true label of an answered request, or of an input."""
    from plinth.cli.render import console, print_next_step

    if (request_id is None) == (input is None):
        raise typer.BadParameter(
            "both or neither of --request-id and --input; name one of them", param_hint="--request-id"
        )
    with connect() as plinth:
        content = None if input is None else _read_input(plinth, model, input)
        row = plinth.feedback.send(model, label, request_id=request_id, input=content, new_label=new_label)
    if as_json:
        print_json(row)
        return
    if row.is_repeated:
        console.print(f"The input had the label {row.label} already.", markup=False)
    elif row.previous_label:
        console.print(f"The label {row.label} replaces {row.previous_label}.", markup=False)
    else:
        answer = f"; version {row.version} answered {row.predicted}" if row.predicted else ""
        console.print(f"Stored the label {row.label}{answer}.", markup=False)
    print_next_step(f"plinth models watch {model}")


@app.command("candidates")
def list_candidates(
    model: ModelName,
    limit: Annotated[int, typer.Option(help="Maximum number of inputs.", min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the recorded inputs that are most useful to label."""
    from plinth.cli import render

    with connect() as plinth:
        candidates = plinth.feedback.candidates(model, limit=limit)
    if as_json:
        print_json(candidates)
        return
    ids = [row.request_id for row in candidates.data]
    table = render.make_table("request", "answer", "confidence", "input", ids=ids)
    for row in candidates.data:
        text = str(row.input.get("text", f"{', '.join(row.input)} of {len(str(row.input)):,} characters"))
        table.add_row(row.request_id, row.predicted, render.format_number(row.confidence), text[:60])
    render.console.print(table)
    send = f"plinth feedback send {model} LABEL --request-id {ids[0]}" if ids else ""
    render.print_next_step(send or f"plinth models watch {model} --keep rows")


@app.command("dataset")
def create_dataset(
    model: ModelName,
    dataset: Annotated[str | None, typer.Option(help="Dataset to add it to (default: that of the model).")] = None,
    rehearsal_rows: Annotated[int | None, typer.Option(help="Training rows of it that are included.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Make the next version of the dataset of a model's feedback."""
    from plinth.cli.render import console, print_next_step

    with connect() as plinth:
        created = plinth.feedback.create_dataset(model, dataset=dataset, rehearsal_rows=rehearsal_rows)
        plinth.datasets.wait(created.id)
    if as_json:
        print_json(created)
        return
    console.print(f"{created.dataset}: {created.origin} and {created.feedback:,} rows of feedback.", markup=False)
    print_next_step(f"plinth train {created.dataset} --start-from {model} --model {model}")


def _read_input(plinth: Plinth, model: str, argument: str) -> Mapping[str, Any]:
    """Read a text, a file or JSON as an input."""
    from plinth.cli.prediction_inputs import read_inputs

    value = read_inputs(plinth, model, [argument], columns=None).inputs[0].value
    if isinstance(value, Path):
        if value.suffix == ".txt":
            return {"text": value.read_text(encoding="utf-8")}
        value = value.read_bytes()
    return {"image": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
