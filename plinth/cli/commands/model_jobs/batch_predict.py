"""`plinth batch-predict`: predict every row of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from plinth.cli.commands import completion
from plinth.cli.commands.context import (
    AsJson,
    ModelReference,
    connect,
    parse_assignments,
    print_json,
    resolve_dataset,
)
from plinth.cli.commands.model_jobs.evaluate import Split
from plinth.cli.commands.train import start

if TYPE_CHECKING:
    from plinth.client.client import Plinth

Format = Literal["jsonl", "parquet"]
DatasetOrFile = Annotated[
    str,
    typer.Argument(
        help="Dataset as name, name@2, or id or its beginning; or a file of rows, which is uploaded.",
        metavar="DATASET|FILE",
        autocompletion=completion.dataset_references,
    ),
]


def batch_predict(
    model: ModelReference,
    dataset: DatasetOrFile,
    to: Annotated[Path, typer.Option(help="Folder or file name to save to.")] = Path(),
    split: Annotated[Split | None, typer.Option(help="Only the rows of this split.")] = None,
    format: Annotated[Format, typer.Option(help="Format of the file.")] = "jsonl",
    parameters: Annotated[
        str | None,
        typer.Option(help="Fields of every input, like conformal=0.9, or as JSON.", metavar="NAME=VALUE,..."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job without watching it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Predict every row of a dataset or a file, in order, and download the answers."""
    from plinth.cli.render import console, transfer_bar

    fields = parse_assignments(parameters, "--parameters", example="conformal=0.9")
    with connect() as plinth:
        rows = _find_rows(plinth, dataset)
        job = plinth.jobs.batch_predict(model, rows, split=split, parameters=fields, format=format)
        if detach or not as_json:
            start(plinth, job, detach=detach, as_json=as_json)
        else:
            plinth.jobs.wait(job.id)
        if detach:
            return
        with transfer_bar("downloading", quiet=as_json) as on_progress:
            path = plinth.jobs.download_predictions(
                job.id, to, on_progress=lambda received: on_progress(received, None)
            )
        if as_json:
            print_json({**plinth.jobs.report(job.id), "file": str(path)})
            return
    console.print(str(path), soft_wrap=True)


def _find_rows(plinth: Plinth, dataset: str) -> str | Path:
    """Return the file of that name, or else a dataset reference."""
    return Path(dataset) if Path(dataset).is_file() else resolve_dataset(plinth, dataset)
