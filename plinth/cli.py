"""The `plinth` command. Each command does one thing, and ends by naming the next one."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from plinth.client import Plinth
    from plinth.results import Job

app = typer.Typer(
    help="Upload data, pretrain, fine-tune, evaluate, serve: foundation models on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
jobs_app = typer.Typer(help="List jobs, and steer one.", invoke_without_command=True)
datasets_app = typer.Typer(help="List data sets, and look into one.", invoke_without_command=True)
models_app = typer.Typer(help="List models, and name, download or delete one.", invoke_without_command=True)
keys_app = typer.Typer(help="List API keys, create and revoke them.", invoke_without_command=True)
app.add_typer(jobs_app, name="jobs")
app.add_typer(datasets_app, name="datasets")
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")

JobId = Annotated[str, typer.Argument(help="The job's id, or `last` for the newest.", metavar="JOB")]
ModelReference = Annotated[str, typer.Argument(help="name, name@3 or name@alias.", metavar="MODEL")]
DatasetReference = Annotated[str, typer.Argument(help="name, name@2 or id.", metavar="DATASET")]


def main() -> None:
    """Run the command; what the user can act on is told in red and ends with 1, never with a traceback."""
    from plinth.errors import PlinthError

    try:
        app()
    except (PlinthError, OSError) as error:
        from rich.markup import escape

        from plinth.show import errors

        errors.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command()
def up(
    port: Annotated[int, typer.Option(envvar="PLINTH_PORT", help="0 takes any free one.", min=0, max=65_535)] = 8000,
    host: Annotated[str, typer.Option(envvar="PLINTH_HOST", help="Address to listen on.")] = "127.0.0.1",
    folder: Annotated[Path | None, typer.Option("--home", help="Its folder [PLINTH_HOME, else ~/.plinth].")] = None,
) -> None:
    """Start the whole service here and stay, until Ctrl-C."""
    from rich.markup import escape

    from plinth.home import api_key, home
    from plinth.show import console
    from plinth.stack import Stack

    if folder is not None:
        os.environ["PLINTH_HOME"] = str(folder.absolute())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    stack = Stack(home(), host=host, port=port, say=lambda line: console.print(escape(line), soft_wrap=True))
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

    from plinth import doctor
    from plinth.home import home, read_stack
    from plinth.show import console, next_step

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
    splits: Annotated[str | None, typer.Option(help='JSON, like {"test": 0.2}.')] = None,
) -> None:
    """Send data and wait until they are checked."""
    from plinth.show import console, findings, next_step, transfer

    with _plinth() as plinth:
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
        next_step(f"plinth train {dataset.name} --architecture cnn --model {dataset.name}")


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
    from plinth.show import console, next_step

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
    with _plinth() as plinth:
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
    with _plinth() as plinth:
        _watch(plinth, _job_id(plinth, job))


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

    from plinth.show import console

    asked: Any = _json(inputs[0], "inputs") if inputs[0].lstrip().startswith(("{", "[")) else inputs
    with _plinth() as plinth:
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
    from plinth.demo import run
    from plinth.home import home

    run((folder or home() / "demo").absolute())


@jobs_app.callback()
def list_jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
) -> None:
    """List jobs, newest first."""
    if context.invoked_subcommand:
        return
    from plinth import show

    with _plinth() as plinth:
        jobs = plinth.jobs.list(state=state, limit=limit)
    shown = show.table("job", "kind", "model", "state", "done", "started", "")
    for job in jobs:
        percent = f"{job.progress.percent:.0f} %" if job.progress.percent is not None else ""
        model = str(job.model or job.spec.get("model", ""))
        shown.add_row(
            job.id, job.kind, model, show.state(job.state), percent, show.ago(job.created_at), job.reason or ""
        )
    show.console.print(shown)
    show.next_step(f"plinth watch {jobs[0].id}" if jobs else "plinth upload FILES")


@jobs_app.command("show")
def show_job(job: JobId = "last") -> None:
    """All about one job, as JSON."""
    with _plinth() as plinth:
        _print_json(plinth.jobs.get(_job_id(plinth, job)))


@jobs_app.command("report")
def report_job(
    job: JobId = "last", as_json: Annotated[bool, typer.Option("--json", help="All of it.")] = False
) -> None:
    """How good the model is on the test split, beside the trivial baseline."""
    from plinth.show import evaluation

    with _plinth() as plinth:
        report = plinth.jobs.report(_job_id(plinth, job))
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        evaluation(report)


@jobs_app.command("cancel")
def cancel_job(job: JobId) -> None:
    """End a job and keep nothing."""
    _steer(job, "cancel")


@jobs_app.command("stop")
def stop_job(job: JobId) -> None:
    """End training now, restore the best weights, evaluate, and register the model."""
    _steer(job, "stop")


@jobs_app.command("pause")
def pause_job(job: JobId) -> None:
    """Save a checkpoint and wait."""
    _steer(job, "pause")


@jobs_app.command("resume")
def resume_job(job: JobId) -> None:
    """Go on from the checkpoint."""
    _steer(job, "resume")


@datasets_app.callback()
def list_datasets(context: typer.Context, limit: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """List data sets, newest first."""
    if context.invoked_subcommand:
        return
    from plinth import show

    with _plinth() as plinth:
        datasets = plinth.datasets.list(limit=limit)
    shown = show.table("data set", "task", "state", "rows", "classes", "size", "created")
    for dataset in datasets:
        shown.add_row(
            f"{dataset.name}@{dataset.version}",
            dataset.task or "",
            show.state(dataset.state),
            "" if dataset.rows is None else f"{dataset.rows:,}",
            "" if dataset.classes is None else str(len(dataset.classes)),
            show.size(dataset.bytes),
            show.ago(dataset.created_at),
        )
    show.console.print(shown)
    ready = [dataset for dataset in datasets if dataset.state == "ready"]
    name = ready[0].name if ready else ""
    show.next_step(f"plinth train {name} --architecture cnn --model {name}" if ready else "plinth upload FILES")


@datasets_app.command("report")
def report_dataset(dataset: DatasetReference) -> None:
    """Everything that was found in the data."""
    from plinth.show import findings

    with _plinth() as plinth:
        findings(plinth.datasets.report(dataset))


@datasets_app.command("delete")
def delete_dataset(dataset: DatasetReference) -> None:
    """Delete a version and its data."""
    from plinth.show import console

    with _plinth() as plinth:
        plinth.datasets.delete(dataset)
    console.print(f"{dataset} is deleted.")


@models_app.callback()
def list_models(context: typer.Context, limit: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """List models, newest first."""
    if context.invoked_subcommand:
        return
    from plinth import show

    with _plinth() as plinth:
        models = plinth.models.list(limit=limit)
    shown = show.table("model", "task", "versions", "aliases", "updated")
    for model in models:
        aliases = ", ".join(f"{alias} -> {version}" for alias, version in model.aliases.items())
        shown.add_row(
            model.name,
            model.task or "base",
            f"{model.versions}, latest {model.latest_version}",
            aliases,
            show.ago(model.updated_at),
        )
    show.console.print(shown)
    show.next_step(f"plinth models show {models[0].name}" if models else "plinth train DATASET --model NAME")


@models_app.command("show")
def show_model(model: ModelReference) -> None:
    """All about one version, as JSON: metrics, files, lineage."""
    with _plinth() as plinth:
        _print_json(plinth.models.get(model))


@models_app.command("alias")
def alias_model(
    model: Annotated[str, typer.Argument(help="The version, like digits@3.", metavar="MODEL@VERSION")],
    alias: Annotated[str, typer.Argument(help="`production` is what the bare name means.")],
) -> None:
    """Point an alias at a version."""
    from plinth.show import console, next_step

    with _plinth() as plinth:
        version = plinth.models.get(model)
        plinth.models.set_alias(version.name, alias, version.version)
    console.print(f"{version.name}@{alias} is now version {version.version}.")
    next_step(f"plinth predict {version.name}@{alias} FILE")


@models_app.command("unalias")
def unalias_model(
    reference: Annotated[str, typer.Argument(help="Like digits@production.", metavar="MODEL@ALIAS")],
) -> None:
    """Forget an alias; its version stays."""
    from plinth.show import console

    name, _, alias = reference.partition("@")
    if not alias:
        raise typer.BadParameter("name the alias, like digits@production", param_hint="MODEL@ALIAS")
    with _plinth() as plinth:
        plinth.models.delete_alias(name, alias)
    console.print(f"{reference} is forgotten.")


@models_app.command("download")
def download_model(
    model: ModelReference,
    to: Annotated[Path, typer.Option(help="A folder or a file name.")] = Path(),
    file: Annotated[str | None, typer.Option(help="Only this file of the package.")] = None,
) -> None:
    """Save a model's package as a zip."""
    from plinth.show import console, transfer

    with _plinth() as plinth, transfer("downloading") as bar:
        line = bar.add_task("", total=None)
        saved = plinth.models.download(model, to, file=file, on_progress=lambda got: bar.update(line, completed=got))
    console.print(str(saved), soft_wrap=True)


@models_app.command("delete")
def delete_model(model: ModelReference) -> None:
    """Delete a version (name@3), or by the bare name all of them."""
    from plinth.show import console

    with _plinth() as plinth:
        plinth.models.delete(model)
    console.print(f"{model} is deleted.")


@keys_app.callback()
def list_keys(context: typer.Context) -> None:
    """List API keys."""
    if context.invoked_subcommand:
        return
    from plinth import show

    with _plinth() as plinth:
        keys = plinth.keys.list()
    shown = show.table("key", "name", "created", "last used", "")
    for key in keys:
        shown.add_row(
            key.id, key.name, show.ago(key.created_at), show.ago(key.last_used_at), "revoked" if key.revoked_at else ""
        )
    show.console.print(shown)
    show.next_step("plinth keys create NAME")


@keys_app.command("create")
def create_key(name: Annotated[str, typer.Argument(help="What it is for.")]) -> None:
    """Make a key; its secret is shown this once."""
    from plinth.show import next_step

    with _plinth() as plinth:
        key = plinth.keys.create(name)
    sys.stdout.write(f"{key.secret}\n")
    next_step(f"plinth keys revoke {key.id}")


@keys_app.command("revoke")
def revoke_key(key: Annotated[str, typer.Argument(help="Its id, from `plinth keys`.")]) -> None:
    """From now on the service refuses this key."""
    from plinth.show import console

    with _plinth() as plinth:
        plinth.keys.revoke(key)
    console.print(f"{key} is revoked.")


@contextmanager
def _plinth() -> Iterator[Plinth]:
    from plinth.client import Plinth

    with Plinth() as plinth:
        yield plinth


def _job_id(plinth: Plinth, given: str) -> str:
    from plinth.errors import PlinthError

    if given != "last":
        return given
    newest = plinth.jobs.list(limit=1)
    if not newest:
        raise PlinthError("There is no job yet. Start one with: plinth train DATASET --model NAME")
    return newest[0].id


def _watch(plinth: Plinth, job_id: str) -> None:
    from plinth.errors import NotFound
    from plinth.show import console, evaluation, follow, next_step, outcome

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
    from plinth.show import next_step

    if job.model is None:
        return
    if job.kind == "pretrain":
        dataset = job.spec.get("dataset", "DATASET")
        next_step(f"plinth train {dataset} --from {job.model} --model NAME")
    else:
        next_step(f"plinth predict {job.model} FILE", f"plinth models alias {job.model} production")


def _steer(job: str, request: str) -> None:
    from plinth.show import console, next_step, state

    with _plinth() as plinth:
        steered = getattr(plinth.jobs, request)(_job_id(plinth, job))
    console.print(f"{steered.id}  {state(steered.state)}, {request} was asked for")
    next_step(f"plinth watch {steered.id}")


def _print_ready(url: str, key: str, home: Path) -> None:
    from rich.markup import escape

    from plinth.show import console, next_step

    curl = f'curl -H "Authorization: Bearer {key}" {url}/api/v1/catalog'
    console.print(f"[bold green]Ready[/]   {url}")
    console.print(f"docs    {url}/docs")
    console.print(f"folder  {escape(str(home))}", soft_wrap=True)
    console.print(f"try     {escape(curl)}", soft_wrap=True)
    next_step("plinth upload FILES")
    console.print("[dim]Ctrl-C stops everything.[/]")


def _print_json(result: Any) -> None:
    from dataclasses import asdict

    sys.stdout.write(json.dumps(asdict(result), indent=2, default=str) + "\n")


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
