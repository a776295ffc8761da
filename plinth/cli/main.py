"""The `plinth` command. Commands end by printing the next useful command."""

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
from plinth.cli.commands.context import DatasetReference, JobId, ModelReference, connect, resolve_job_id

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
    """Run the command.

    Errors that the user can act on are printed in red, without a traceback, and the exit code is 1.
    """
    from plinth.client.errors import PlinthError

    try:
        app()
    except (PlinthError, OSError) as error:
        from rich.markup import escape

        from plinth.cli.render import error_console

        error_console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command()
def up(
    port: Annotated[
        int, typer.Option(envvar="PLINTH_PORT", help="Port of the API; 0 for any free port.", min=0, max=65_535)
    ] = 8000,
    host: Annotated[str, typer.Option(envvar="PLINTH_HOST", help="Address to listen on.")] = "127.0.0.1",
    api_processes: Annotated[
        int,
        typer.Option(envvar="PLINTH_API_PROCESSES", help="Number of API processes, one core each.", min=1, max=64),
    ] = 1,
    folder: Annotated[
        Path | None, typer.Option("--home", help="Folder for data and logs [PLINTH_HOME, else ~/.plinth].")
    ] = None,
) -> None:
    """Start the whole service on this machine and run it until Ctrl-C."""
    from rich.markup import escape

    from plinth.cli.render import console
    from plinth.client.home import api_key, home
    from plinth.local.stack import Stack

    if folder is not None:
        os.environ["PLINTH_HOME"] = str(folder.absolute())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())

    def print_line(line: str) -> None:
        console.print(escape(line), soft_wrap=True)

    stack = Stack(home(), host=host, port=port, api_processes=api_processes, print_line=print_line)
    with stack.acquire_folder():
        stack.start(stop)
        if not stop.is_set():
            _print_ready(stack.url, api_key(stack.url) or "", home())
        stack.supervise(stop)
        console.print("Stopping ...")
    console.print("Stopped. Running jobs resume from their last checkpoint at the next start.", soft_wrap=True)


@app.command("open")
def open_page() -> None:
    """Open the page of the service, signed in; print a link where no browser starts."""
    import webbrowser

    from plinth.cli.render import console

    with connect() as plinth:
        link = plinth.sign_in_link()
    if webbrowser.open(link):
        console.print(f"Opened {link.partition('?')[0].removesuffix('/login')} in the browser.", soft_wrap=True)
        return
    console.print("No browser starts here. This link signs in once, within 15 minutes:", soft_wrap=True)
    console.print(link, soft_wrap=True, markup=False)


@app.command()
def doctor() -> None:
    """Check service, device, broker, database, blobs and disk, and print fixes."""
    from rich.markup import escape

    from plinth.cli import doctor
    from plinth.cli.render import console, print_next_step
    from plinth.client.home import home, read_stack

    is_healthy = True
    for check in doctor.run_checks():
        is_healthy = is_healthy and check.is_ok
        mark = "[green]ok  [/]" if check.is_ok else "[red]FAIL[/]"
        console.print(f"{mark} [bold]{check.name:<9}[/] {escape(check.detail)}", soft_wrap=True)
        if check.fix:
            console.print(f"     [yellow]fix:[/] {escape(check.fix)}", soft_wrap=True)
    if not is_healthy:
        raise typer.Exit(1)
    print_next_step("plinth upload FILES" if read_stack(home()) else "plinth up")


@app.command()
def upload(
    files: Annotated[list[Path], typer.Argument(help="Files or folders: zip, tar, CSV, Parquet, IDX, class folders.")],
    name: Annotated[str | None, typer.Option(help="Name of the dataset [that of the first file].")] = None,
    task: Annotated[str | None, typer.Option(help="Task of the dataset, like image_classification [guessed].")] = None,
    format: Annotated[str | None, typer.Option(help="Format of the files [guessed].")] = None,
    columns: Annotated[
        str | None, typer.Option(help="JSON: column of the dataset -> column in the file, or its position from 1.")
    ] = None,
    splits: Annotated[str | None, typer.Option(help='JSON, like {"train": 0.8, "test": 0.2}.')] = None,
    quoting: Annotated[
        str | None,
        typer.Option(help="Quoting of tables: doubled, backslash, none (quotes are characters), none_backslash."),
    ] = None,
) -> None:
    """Upload a dataset and wait until the service has checked it."""
    from plinth.cli import render

    with connect() as plinth:
        with render.make_transfer_bar("uploading") as bar:
            transfer = bar.add_task("", total=None)
            dataset = plinth.datasets.upload(
                list(files),
                name=name,
                task=task,
                format=format,
                columns=_parse_json(columns, "--columns"),
                splits=_parse_json(splits, "--splits"),
                quoting=quoting,
                on_progress=lambda sent, total: bar.update(transfer, completed=sent, total=total),
            )
        with render.console.status(f"checking {dataset.name}@{dataset.version} ..."):
            dataset = plinth.datasets.wait(dataset.id)
        render.print_dataset_report(plinth.datasets.report(dataset.id))
        counts = ", ".join(f"{split} {rows}" for split, rows in dataset.splits.items())
        render.console.print(f"[green]{dataset.name}@{dataset.version} is ready[/]: {dataset.task}, {counts}")
        render.print_next_step(render.make_train_command(dataset))


@app.command()
def train(
    dataset: DatasetReference,
    model: Annotated[str, typer.Option(help="Name of the trained model.")],
    task: Annotated[str | None, typer.Option(help="Task to fine-tune for [that of the dataset].")] = None,
    objective: Annotated[str | None, typer.Option(help="Pretrain with this objective instead of fine-tuning.")] = None,
    architecture: Annotated[str | None, typer.Option(help="Architecture to train from scratch.")] = None,
    preset: Annotated[str | None, typer.Option(help="Preset of the architecture, which sets its size.")] = None,
    start_from: Annotated[str | None, typer.Option("--from", help="Model to start from.")] = None,
    tuning: Annotated[str | None, typer.Option(help="Tuning method, which selects the trained weights.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in a batch.", min=1)] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, adam or adamw.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of the spec, like schedule.decay=cosine. Repeatable.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job without watching it.")] = False,
) -> None:
    """Pretrain or fine-tune a model and watch the job."""
    from plinth.cli.render import console, print_next_step

    schedule = _drop_none(epochs=epochs, batch_size=batch_size, optimizer=optimizer, learning_rate=learning_rate)
    spec = _drop_none(
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
            _apply_setting(spec, setting)
        job = plinth.jobs.submit(spec)
        console.print(f"{job.id}  {job.kind} {model}")
        if detach:
            print_next_step(f"plinth watch {job.id}")
            return
        _watch(plinth, job.id)


@app.command()
def watch(job: JobId = "last") -> None:
    """Watch a job until it ends. Ctrl-C stops watching, not the job."""
    with connect() as plinth:
        _watch(plinth, resolve_job_id(plinth, job))


@app.command()
def predict(
    model: ModelReference,
    inputs: Annotated[list[str], typer.Argument(help="Files, or one JSON object or array.")],
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Return the embedding of the backbone instead of the prediction.")
    ] = False,
) -> None:
    """Run a model on files or on JSON inputs."""
    from rich.markup import escape

    from plinth.cli.render import console

    is_json = inputs[0].lstrip().startswith(("{", "["))
    model_inputs: Any = _parse_json(inputs[0], "inputs") if is_json else inputs
    with connect() as plinth:
        prediction = plinth.predict(model, model_inputs, parameters={"return": "embedding"} if embedding else None)
    names = [f"input {number}" for number in range(1, len(prediction.outputs) + 1)] if is_json else inputs
    for name, output in zip(names, prediction.outputs, strict=True):
        if sys.stdout.isatty() and "label" in output and "confidence" in output:
            console.print(f"{escape(name)}  [bold]{escape(str(output['label']))}[/]  {output['confidence']:.1%}")
        else:
            sys.stdout.write(json.dumps(output) + "\n")


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option("--home", help="Folder for data and logs [`demo` in PLINTH_HOME].")
    ] = None,
) -> None:
    """Pretrain, fine-tune, evaluate and run a model of handwritten digits, in a minute."""
    from plinth.cli.demo import run
    from plinth.client.home import home

    run((folder or home() / "demo").absolute())


def _watch(plinth: Plinth, job_id: str) -> None:
    from plinth.cli.render import console, follow, print_evaluation, print_next_step, print_outcome
    from plinth.client.errors import NotFound

    try:
        job = follow(plinth, job_id)
    except KeyboardInterrupt:
        console.print("The job is still running.")
        print_next_step(f"plinth watch {job_id}", f"plinth jobs stop {job_id}")
        raise
    print_outcome(job)
    if job.state != "succeeded":
        raise typer.Exit(1)
    # A base model has no evaluation report.
    with suppress(NotFound):
        print_evaluation(plinth.jobs.report(job.id))
    _print_next_steps(job)


def _print_next_steps(job: Job) -> None:
    from plinth.cli.render import print_next_step

    if job.model is None:
        return
    if job.kind == "pretrain":
        dataset = job.spec.get("dataset", "DATASET")
        print_next_step(f"plinth train {dataset} --from {job.model} --model NAME")
    else:
        print_next_step(f"plinth predict {job.model} FILE", f"plinth models alias {job.model} production")


def _print_ready(url: str, key: str, home: Path) -> None:
    from rich.markup import escape

    from plinth.cli.render import console, print_next_step

    curl = f'curl -H "Authorization: Bearer {key}" {url}/api/v1/catalog'
    console.print(f"[bold green]Ready[/]   {url}")
    console.print(f"page    {_sign_in_link(url, key)}", soft_wrap=True, markup=False)
    console.print(f"docs    {url}/docs")
    console.print(f"folder  {escape(str(home))}", soft_wrap=True)
    console.print(f"try     {escape(curl)}", soft_wrap=True)
    print_next_step("plinth upload FILES")
    console.print("[dim]Ctrl-C stops everything.[/]")


def _sign_in_link(url: str, key: str) -> str:
    """Return a link that signs in once; the plain address if the service refuses one."""
    from plinth.client.client import Plinth
    from plinth.client.errors import PlinthError

    try:
        with Plinth(url, key) as plinth:
            return plinth.sign_in_link()
    except PlinthError:
        return url


def _parse_json(text: str | None, option: str) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON ({error})", param_hint=option) from None


def _drop_none(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _apply_setting(spec: dict[str, Any], setting: str) -> None:
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
    try:
        parent[last] = json.loads(text)
    except ValueError:
        parent[last] = text
