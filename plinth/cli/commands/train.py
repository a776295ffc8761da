"""`plinth train` and `plinth watch`: start a job, and follow it to its end."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from plinth.cli.commands import completion
from plinth.cli.commands.context import (
    AsJson,
    DatasetReference,
    JobId,
    apply_setting,
    connect,
    print_json,
    resolve_dataset,
    resolve_job_id,
)
from plinth.cli.commands.search_space import make_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plinth.client.client import Plinth
    from plinth.client.types import Job

#: Longest side of images in pixels that an encoder reads.
MAX_SIDE = 2048
#: Suffix of the default name of a model without a task.
BASE_SUFFIX = "-base"


Model = Annotated[
    str | None,
    typer.Option(help="Name of the trained model (default: that of the dataset; with --objective NAME-base)."),
]
Task = Annotated[str | None, typer.Option(help="Task to fine-tune for (default: that of the dataset).")]
Objective = Annotated[str | None, typer.Option(help="Pretrain with this objective instead of fine-tuning.")]
Architecture = Annotated[
    str | None, typer.Option(help="Architecture to train from scratch; `plinth catalog architectures` lists them.")
]
Preset = Annotated[str | None, typer.Option(help="Preset of the architecture, which sets its size.")]
StartFrom = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Model to start from; SLOT=MODEL for one slot, also of another modality (image=text-base).",
        autocompletion=completion.model_references,
    ),
]
Tuning = Annotated[str | None, typer.Option(help="Tuning method, which selects the trained weights.")]
Adversary = Annotated[
    str | None, typer.Option(help="Attack to train against, so that the model resists it: fgsm or pgd.")
]
Sizes = Annotated[
    str | None,
    typer.Option(help="Nested sizes to train together, as fractions of the width.", metavar="1,0.5,0.25"),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        help="Size at which images are read: pixels of the shorter side, or WIDTHxHEIGHT (default: by the rows).",
        metavar="PIXELS",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any field of the spec, like schedule.decay=cosine or tuning.config.rank=4. Repeatable.",
        metavar="PATH=VALUE",
    ),
]
Trials = Annotated[int | None, typer.Option(help="Search for better settings, in this number of trials.", min=1)]
SearchSpace = Annotated[
    list[str] | None,
    typer.Option(
        "--search",
        help="Setting to search for, like schedule.learning_rate=1e-4..1e-2 or architecture=cnn,resnet. "
        "Repeatable; without any, --trials searches around the recipe.",
        metavar="PATH=VALUES",
    ),
]
Priority = Literal["high", "normal", "low"]
PriorityOption = Annotated[
    Priority | None,
    typer.Option("--priority", help="Jobs of a higher priority start first (default: normal)."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check the spec, print it with all defaults, and start nothing.")
]


def train(
    dataset: DatasetReference,
    model: Model = None,
    task: Task = None,
    objective: Objective = None,
    architecture: Architecture = None,
    preset: Preset = None,
    start_from: StartFrom = None,
    tuning: Tuning = None,
    image_size: ImageSize = None,
    adversary: Adversary = None,
    sizes: Sizes = None,
    exits: Annotated[
        bool, typer.Option("--exits", help="Let an input leave at the smallest size that is sure of it.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in a batch.", min=1)] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Parts of a batch that are computed one after the other: less memory.", min=1)
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(help="GPUs, or processes on a CPU, that train together: a number, or all of a worker."),
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, adam, adamw or muon.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    set_: Settings = None,
    trials: Trials = None,
    search: SearchSpace = None,
    priority: PriorityOption = None,
    dry_run: DryRun = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Train a few steps, print what all of them take, and start nothing.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job without watching it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Pretrain or fine-tune a model, or search for its best settings, and watch the job."""
    schedule = drop_none(
        epochs=epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        optimizer=optimizer,
        learning_rate=learning_rate,
    )
    spec = drop_none(
        kind="pretrain" if objective else "finetune",
        objective=objective,
        task=task,
        architecture={"name": architecture, "config": {"preset": preset}} if architecture and preset else architecture,
        start_from=parse_start_from(start_from),
        tuning=tuning,
        adversary=adversary,
        sizes=_parse_sizes(sizes),
        exits=exits or None,
        schedule=schedule or None,
        devices=int(devices) if devices and devices.isdecimal() else devices,
        seed=seed,
        model=model,
    )
    with connect() as plinth:
        _name_dataset(plinth, spec, resolve_dataset(plinth, dataset))
        if image_size is not None:
            spec["encoders"] = {"image": parse_image_size(image_size, plinth.datasets.report(spec["dataset"]).facts)}
        for setting in set_ or ():
            apply_setting(spec, setting)
        if not as_json:
            _propose_bases(plinth, spec)
        if trials is not None or search:
            spec = make_sweep(spec, trials=trials, search=search or ())
        if measure:
            _print_cost(plinth.jobs.measure(spec), as_json=as_json)
        elif dry_run:
            _print_plan(plinth, spec, as_json=as_json)
        else:
            start(plinth, plinth.jobs.submit(spec, priority=priority), detach=detach, as_json=as_json)


def watch(job: JobId = "last", as_json: AsJson = False) -> None:
    """Watch a job until it ends. Ctrl-C stops watching, not the job."""
    with connect() as plinth:
        follow_to_end(plinth, resolve_job_id(plinth, job), as_json=as_json)


def start(plinth: Plinth, job: Job, *, detach: bool, as_json: bool) -> None:
    """Print the id of a new job, and watch it unless detached."""
    from plinth.cli.render import console, print_licenses, print_next_step

    if detach and as_json:
        print_json(job)
        return
    if not as_json:
        print_licenses(job.licenses)
        console.print(f"{job.id}  {job.kind} {job.training.get('model', '')}{_describe_queue(job)}")
    if detach:
        print_next_step(f"plinth watch {job.id}")
        return
    follow_to_end(plinth, job.id, as_json=as_json)


def _describe_queue(job: Job) -> str:
    """Return how many jobs wait before a queued one."""
    from plinth.cli.render import format_count

    before = (job.queue_position or 1) - 1
    return f", queued behind {format_count(before, 'job')}" if before else ""


def follow_to_end(plinth: Plinth, job_id: str, *, as_json: bool) -> None:
    """Follow a job, and print how it ended; exits with 1 unless it succeeded."""
    from plinth.cli.render import console, print_next_step, print_outcome
    from plinth.cli.render_progress import follow
    from plinth.cli.render_sweep import print_report
    from plinth.client.errors import NotFound

    try:
        job = follow(plinth, job_id, quiet=as_json)
    except KeyboardInterrupt:
        if not as_json:
            console.print("The job is still running.")
            print_next_step(f"plinth watch {job_id}", f"plinth jobs stop {job_id}")
        raise
    if as_json:
        print_json(job)
        raise typer.Exit(0 if job.state == "succeeded" else 1)
    print_outcome(job)
    if job.state != "succeeded":
        print_next_step(f"plinth jobs logs {job.id}", f"plinth jobs retry {job.id}")
        raise typer.Exit(1)
    # A base model has no evaluation report.
    with suppress(NotFound):
        print_report(plinth.jobs.report(job.id))
    _print_next_steps(plinth, job)


def parse_image_size(text: str, facts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options of the image encoder from `96` or `160x120`.

    One number is the shorter side of images that all have one size; images of several sizes are centered in a square.
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 1 <= int(side) <= MAX_SIDE for side in sides):
        message = f"{text!r} is neither a number of pixels nor WIDTHxHEIGHT; write 96 or 160x120 (limit {MAX_SIDE:,})"
        raise typer.BadParameter(message, param_hint="--image-size")
    numbers = [int(side) for side in sides]
    if len(numbers) == 2:
        return {"width": numbers[0], "height": numbers[1]}
    sizes = (facts or {}).get("image") or {}
    width, height = sizes.get("max_width", 1), sizes.get("max_height", 1)
    if (width, height) != (sizes.get("min_width", 1), sizes.get("min_height", 1)):
        return {"width": numbers[0], "height": numbers[0], "keep_ratio": True}
    scale = numbers[0] / min(width, height)
    return {"width": min(MAX_SIDE, round(width * scale)), "height": min(MAX_SIDE, round(height * scale))}


def drop_none(**options: Any) -> dict[str, Any]:
    """Return the options whose value is not None."""
    return {name: value for name, value in options.items() if value is not None}


def _print_cost(cost: Mapping[str, Any], *, as_json: bool) -> None:
    from plinth.cli import render

    if as_json:
        print_json(cost)
        return
    gigabytes = f"{cost['memory_bytes'] / 1e9:.2f} GB of memory"
    disk = f"{cost['disk_bytes'] / 1e6:.1f} MB of disk for checkpoints"
    render.console.print(
        f"{cost['steps']:,} steps of {1000 * cost['seconds_per_step']:.1f} ms in batches of {cost['batch_size']}: "
        f"{cost['training_seconds']:.0f} s on {cost['device']}, {gigabytes}, {disk}.",
        soft_wrap=True,
    )
    render.console.print(f"About {cost['largest_batch_size']:,} rows fit into one batch.", soft_wrap=True)
    ends_at = datetime.fromisoformat(cost["ends_at"]).astimezone()
    render.console.print(f"Started now, its steps would end at {ends_at:%Y-%m-%d %H:%M:%S}.", soft_wrap=True)
    for warning in cost["warnings"]:
        render.console.print(f"[yellow]warning:[/] {warning}", soft_wrap=True)


def _parse_sizes(sizes: str | None) -> list[float] | None:
    if sizes is None:
        return None
    try:
        return [float(size) for size in sizes.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{sizes!r} is not a list of numbers; write 1,0.5,0.25", param_hint="--sizes"
        ) from None


def _name_dataset(plinth: Plinth, spec: dict[str, Any], reference: str) -> None:
    """Fill the dataset, and from it the model and the task that were not named."""
    from plinth.client.errors import PlinthError

    spec["dataset"] = reference
    is_pretraining = spec["kind"] == "pretrain"
    if "model" in spec and (is_pretraining or "task" in spec):
        return
    dataset = plinth.datasets.get(reference)
    if not dataset.is_final:
        dataset = plinth.datasets.wait(dataset.id)
    if dataset.state == "rejected":
        name = f"{dataset.name}@{dataset.version}"
        raise PlinthError(f"{name} was rejected. See why: plinth datasets report {name}")
    spec.setdefault("model", f"{dataset.name}{BASE_SUFFIX}" if is_pretraining else dataset.name)
    if is_pretraining:
        return
    if dataset.task is None and "task" not in spec:
        name = f"{dataset.name}@{dataset.version}"
        raise PlinthError(f"{name} has no task. Name one with --task; `plinth catalog tasks` lists them.")
    spec.setdefault("task", dataset.task)


def parse_start_from(text: str | None) -> str | dict[str, str] | None:
    """Return a model, or models by slot of `SLOT=MODEL,SLOT=MODEL`."""
    if text is None or "=" not in text:
        return text
    models: dict[str, str] = {}
    for pair in text.split(","):
        slot, _, model = pair.partition("=")
        if not slot or not model:
            raise typer.BadParameter(
                f"{pair!r} is not SLOT=MODEL; write image=image-base,text=text-base", param_hint="--from"
            )
        models[slot] = model
    return models


def _propose_bases(plinth: Plinth, spec: Mapping[str, Any]) -> None:
    """Say which registered base models fit a fine-tuning that starts from scratch."""
    from plinth.cli.render import console

    if spec["kind"] != "finetune" or {"start_from", "architecture", "architectures"} & spec.keys():
        return
    if bases := plinth.jobs.propose_bases(spec):
        others = f" (also {', '.join(bases[1:])})" if bases[1:] else ""
        console.print(
            f"[dim]note:[/] it trains from scratch; a base model fits these data: --from {bases[0]}{others}",
            soft_wrap=True,
        )


def _print_plan(plinth: Plinth, spec: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a spec with all defaults and its licenses; as JSON, the spec alone."""
    from rich.markup import escape

    from plinth.cli.render import console, print_licenses

    resolved = plinth.jobs.check(spec)
    if as_json:
        print_json(resolved)
        return
    plan = plinth.jobs.plan(spec)
    fitted = {f"schedule.{name}": plan.get(name) for name in ("epochs", "batch_size")}
    if plan.get("max_epochs"):
        fitted["schedule.epochs"] = f"{plan['epochs']}, and up to {plan['max_epochs']} while validation improves"
    for path, setting in _flatten(resolved):
        value = fitted.get(path) or setting
        console.print(f"[dim]{escape(path)}[/] = {escape(str(value))}", soft_wrap=True)
    print_licenses(plinth.jobs.licenses(spec))
    for note in plinth.jobs.plan_notes(spec):
        console.print(f"[dim]note:[/] {escape(note)}", soft_wrap=True)
    seconds = plan.get("expected_seconds")
    if seconds is None:
        time = "--measure in place of --dry-run tells how long it takes."
    else:
        time = f"It takes about {timedelta(seconds=round(seconds))}, judged by {plan['expected_from']}."
    console.print(f"The spec is valid; nothing was started. {time}")


def _flatten(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """List the leaves of a spec by path, as `--set` writes them."""
    if isinstance(value, dict) and value:
        return [leaf for name, item in value.items() for leaf in _flatten(item, f"{path}.{name}" if path else name)]
    return [(path, value)] if value not in ({}, None) else []


def _print_next_steps(plinth: Plinth, job: Job) -> None:
    """Print what is useful next, which depends on how the job ended."""
    from plinth.cli.render import make_predict_command, print_next_step

    if job.kind == "export":
        model, format = job.spec.get("model", "MODEL"), job.spec.get("format", "onnx")
        print_next_step(f"plinth models download {model} --format {format}")
        return
    if job.model is None:
        return
    if job.kind == "pretrain":
        print_next_step(f"plinth train {job.training.get('dataset', 'DATASET')} --from {job.model} --model NAME")
        return
    predict = make_predict_command(job.model, plinth.models.get(str(job.model)).task)
    if job.kind == "import":
        print_next_step(f"plinth models show {job.model}", predict)
    elif job.warnings:
        longer = f"plinth jobs clone {job.id} --set schedule.epochs={2 * epochs_of(job)}"
        print_next_step(f"plinth datasets report {job.training.get('dataset', 'DATASET')}", longer)
    else:
        print_next_step(predict, f"plinth models alias {job.model} production")


def epochs_of(job: Job) -> int:
    """Return the epochs that a job ran, else those of its recipe.

    Few rows get more epochs than the recipe has, so that twice the recipe could be shorter.
    """
    return int(job.progress.epochs or (job.training.get("schedule") or {}).get("epochs") or 10)
