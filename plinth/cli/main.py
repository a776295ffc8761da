"""The `plinth` command. Each command does one thing, and ends by naming the next one."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plinth.cli.commands import datasets, jobs, keys, models
from plinth.cli.commands.context import DatasetReference, JobId, ModelReference, connect, job_id

if TYPE_CHECKING:
    from plinth.client.client import Plinth
    from plinth.client.types import Job

app = typer.Typer(
    help="Upload data, pretrain, fine-tune, evaluate, serve: foundation models on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (jobs, datasets, models, keys):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2])


def main() -> None:
    """Run the command; what the user can act on is told in red and ends with 1, never with a traceback."""
    from plinth.client.errors import PlinthError

    try:
        app()
    except (PlinthError, OSError) as error:
        from rich.markup import escape

        from plinth.cli.render import errors

        errors.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command()
def up(
    port: Annotated[int, typer.Option(envvar="PLINTH_PORT", help="0 takes any free one.", min=0, max=65_535)] = 8000,
    host: Annotated[str, typer.Option(envvar="PLINTH_HOST", help="Address to listen on.")] = "127.0.0.1",
    api_processes: Annotated[
        int,
        typer.Option(envvar="PLINTH_API_PROCESSES", help="API processes, one core each.", min=1, max=64),
    ] = 1,
    folder: Annotated[Path | None, typer.Option("--home", help="Its folder [PLINTH_HOME, else ~/.plinth].")] = None,
) -> None:
    """Start the whole service here and stay, until Ctrl-C."""
    from rich.markup import escape

    from plinth.cli.render import console
    from plinth.client.home import api_key, home
    from plinth.local.stack import Stack

    if folder is not None:
        os.environ["PLINTH_HOME"] = str(folder.absolute())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())

    def say(line: str) -> None:
        console.print(escape(line), soft_wrap=True)

    stack = Stack(home(), host=host, port=port, api_processes=api_processes, say=say)
    with stack.held():
        stack.start(stop)
        if not stop.is_set():
            _print_ready(stack.url, api_key(stack.url) or "", home())
        stack.supervise(stop)
        console.print("Stopping ...")
    console.print("Stopped. What was running goes on from its last checkpoint at the next start.", soft_wrap=True)


@app.command()
def doctor() -> None:
    """Look at service, device, broker, database, blobs and disk; each with its fix."""
    from rich.markup import escape

    from plinth.cli import doctor
    from plinth.cli.render import console, next_step
    from plinth.client.home import home, read_stack

    is_well = True
    for finding in doctor.examine():
        is_well = is_well and finding.ok
        mark = "[green]ok  [/]" if finding.ok else "[red]FAIL[/]"
        console.print(f"{mark} [bold]{finding.name:<9}[/] {escape(finding.detail)}", soft_wrap=True)
        if finding.fix:
            console.print(f"     [yellow]fix:[/] {escape(finding.fix)}", soft_wrap=True)
    if not is_well:
        raise typer.Exit(1)
    next_step("plinth upload FILES" if read_stack(home()) else "plinth up")


@app.command()
def upload(
    files: Annotated[list[Path], typer.Argument(help="Files or folders: zip, tar, CSV, Parquet, IDX, class folders.")],
    name: Annotated[str | None, typer.Option(help="The data set's name [the first file's].")] = None,
    task: Annotated[str | None, typer.Option(help="What the data are for, like image_classification.")] = None,
    format: Annotated[str | None, typer.Option(help="How to read them [guessed].")] = None,
    columns: Annotated[
        str | None, typer.Option(help="JSON: our column -> column in the file, or its position from 1.")
    ] = None,
    splits: Annotated[str | None, typer.Option(help='JSON, like {"train": 0.8, "test": 0.2}.')] = None,
) -> None:
    """Send data and wait until they are checked."""
    from plinth.cli.render import console, findings, first_training, next_step, transfer

    with connect() as plinth:
        with transfer("uploading") as bar:
            line = bar.add_task("", total=None)
            dataset = plinth.datasets.upload(
                list(files),
                name=name,
                task=task,
                format=format,
                columns=_json(columns, "--columns"),
                splits=_json(splits, "--splits"),
                on_progress=lambda sent, total: bar.update(line, completed=sent, total=total),
            )
        with console.status(f"checking {dataset.name}@{dataset.version} ..."):
            dataset = plinth.datasets.wait(dataset.id)
        findings(plinth.datasets.report(dataset.id))
        counts = ", ".join(f"{split} {rows}" for split, rows in dataset.splits.items())
        console.print(f"[green]{dataset.name}@{dataset.version} is ready[/]: {dataset.task}, {counts}")
        next_step(first_training(dataset))


@app.command()
def train(
    dataset: DatasetReference,
    model: Annotated[str, typer.Option(help="The name to register the model under.")],
    task: Annotated[str | None, typer.Option(help="What to fine-tune for [the data set's task].")] = None,
    objective: Annotated[str | None, typer.Option(help="Pretrain by this instead of fine-tuning for a task.")] = None,
    architecture: Annotated[str | None, typer.Option(help="What to build from scratch.")] = None,
    preset: Annotated[str | None, typer.Option(help="Its size, by name.")] = None,
    start_from: Annotated[str | None, typer.Option("--from", help="The model to start from.")] = None,
    tuning: Annotated[str | None, typer.Option(help="Which weights move.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, adam or adamw.")] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Anything else, like schedule.decay=cosine. Repeatable.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Only start it; do not watch.")] = False,
) -> None:
    """Pretrain or fine-tune a model and watch it learn."""
    from plinth.cli.render import console, next_step

    schedule = _said(epochs=epochs, batch_size=batch_size, optimizer=optimizer, learning_rate=learning_rate)
    spec = _said(
        kind="pretrain" if objective else "finetune",
        dataset=dataset,
        objective=objective,
        architecture={"name": architecture, "config": {"preset": preset}} if architecture and preset else architecture,
        start_from=start_from,
        tuning=tuning,
        schedule=schedule or None,
        seed=seed,
        model=model,
    )
    with connect() as plinth:
        if not objective:
            spec["task"] = task or plinth.datasets.get(dataset).task
        for setting in set_ or ():
            _set(spec, setting)
        job = plinth.jobs.submit(spec)
        console.print(f"{job.id}  {job.kind} {model}")
        if detach:
            next_step(f"plinth watch {job.id}")
            return
        _watch(plinth, job.id)


@app.command()
def watch(job: JobId = "last") -> None:
    """Follow a job until it ends. Ctrl-C stops the watching, not the job."""
    with connect() as plinth:
        _watch(plinth, job_id(plinth, job))


@app.command()
def predict(
    model: ModelReference,
    inputs: Annotated[list[str], typer.Argument(help="Files, or one JSON object or array.")],
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Give what the backbone sees, not the answer.")
    ] = False,
) -> None:
    """Ask a model about files, or about inputs as JSON."""
    from rich.markup import escape

    from plinth.cli.render import console

    asked: Any = _json(inputs[0], "inputs") if inputs[0].lstrip().startswith(("{", "[")) else inputs
    with connect() as plinth:
        answer = plinth.predict(model, asked, parameters={"return": "embedding"} if embedding else None)
    names = inputs if asked is inputs else [f"input {number}" for number in range(1, len(answer.outputs) + 1)]
    for name, output in zip(names, answer.outputs, strict=True):
        if sys.stdout.isatty() and "label" in output and "confidence" in output:
            console.print(f"{escape(name)}  [bold]{escape(str(output['label']))}[/]  {output['confidence']:.1%}")
        else:
            sys.stdout.write(json.dumps(output) + "\n")


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option("--home", help="Where it keeps its data [a folder `demo` in PLINTH_HOME].")
    ] = None,
) -> None:
    """See it all in a minute: pretrain, fine-tune, evaluate and ask a model about handwritten digits."""
    from plinth.cli.demo import run
    from plinth.client.home import home

    run((folder or home() / "demo").absolute())


def _watch(plinth: Plinth, job_id: str) -> None:
    from plinth.cli.render import console, evaluation, follow, next_step, outcome
    from plinth.client.errors import NotFound

    try:
        job = follow(plinth, job_id)
    except KeyboardInterrupt:
        console.print("The job goes on.")
        next_step(f"plinth watch {job_id}", f"plinth jobs stop {job_id}")
        raise
    outcome(job)
    if job.state != "succeeded":
        raise typer.Exit(1)
    # A base model has nothing to be judged by.
    with suppress(NotFound):
        evaluation(plinth.jobs.report(job.id))
    _name_what_follows(job)


def _name_what_follows(job: Job) -> None:
    from plinth.cli.render import next_step

    if job.model is None:
        return
    if job.kind == "pretrain":
        dataset = job.spec.get("dataset", "DATASET")
        next_step(f"plinth train {dataset} --from {job.model} --model NAME")
    else:
        next_step(f"plinth predict {job.model} FILE", f"plinth models alias {job.model} production")


def _print_ready(url: str, key: str, home: Path) -> None:
    from rich.markup import escape

    from plinth.cli.render import console, next_step

    curl = f'curl -H "Authorization: Bearer {key}" {url}/api/v1/catalog'
    console.print(f"[bold green]Ready[/]   {url}")
    console.print(f"docs    {url}/docs")
    console.print(f"folder  {escape(str(home))}", soft_wrap=True)
    console.print(f"try     {escape(curl)}", soft_wrap=True)
    next_step("plinth upload FILES")
    console.print("[dim]Ctrl-C stops everything.[/]")


def _json(given: str | None, option: str) -> Any:
    if given is None:
        return None
    try:
        return json.loads(given)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint=option) from None


def _said(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _set(spec: dict[str, Any], setting: str) -> None:
    """`schedule.decay=cosine`: a path into the spec, and JSON or else text."""
    path, equals, text = setting.partition("=")
    if not equals:
        raise typer.BadParameter(f"{setting!r} is not of the form path=value", param_hint="--set")
    *parents, last = path.split(".")
    place = spec
    for name in parents:
        inner = place.setdefault(name, {})
        place[name] = place = dict(inner) if isinstance(inner, Mapping) else {"name": inner}
    try:
        place[last] = json.loads(text)
    except ValueError:
        place[last] = text
