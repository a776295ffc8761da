"""Terminal output: tables, job progress, evaluation reports, images."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from plinth.client.client import Plinth
    from plinth.client.types import Dataset, DatasetReport, Job, License

#: Width where no terminal cuts lines, so that ids and names stay whole in pipes and files.
PIPE_COLUMNS = 10_000

console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
error_console = Console(stderr=True, highlight=False)

STATE_COLORS: Mapping[str, str] = {
    "succeeded": "green",
    "ready": "green",
    "running": "cyan",
    "failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
}
#: What to type in place of FILE, by task.
TASK_INPUTS: Mapping[str, str] = {
    "text_classification": '"a text"',
    "text_generation": '"a text"',
    "translation": '"a text"',
    "speech_synthesis": '"a text"',
    "image_generation": "'{\"seed\": 1}'",
    "recommendation": '\'{"history": ["ITEM"]}\'',
    "content_recommendation": '\'{"history": ["ITEM"]}\'',
}
MAX_CLASSES_SHOWN = 20
METRICS_WHILE_RUNNING = 2
SHADES = " .:-=+*#%@"


def print_next_step(*commands: str) -> None:
    """Print the commands that are useful next, as the last lines of a command."""
    for command in commands:
        console.print(f"[dim]next:[/] [bold]{escape(to_shell_command(command))}[/]", soft_wrap=True)


def to_shell_command(command: str) -> str:
    """Return `plinth ...` as it can be pasted into this shell.

    If `plinth` is not on PATH (its virtual environment is not active), the full path of the program is used.
    """
    program, _, arguments = command.partition(" ")
    if not shutil.which(program):
        started_program = Path(sys.argv[0])
        program = str(started_program) if started_program.name == program else f"{sys.executable} -m {program}"
    return f"{program} {arguments}"


def format_state(name: str) -> str:
    """Format a state as markup in its color."""
    return f"[{STATE_COLORS.get(name, 'default')}]{name}[/]"


def format_age(time: datetime | None) -> str:
    """Format the time since `time` in its largest unit; empty for None."""
    if time is None:
        return ""
    seconds = max(0, int((datetime.now(UTC) - time).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def format_size(size_bytes: float | None) -> str:
    """Format a number of bytes with a decimal unit; empty for None."""
    if size_bytes is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def format_count(count: float, noun: str) -> str:
    """Format a number of things: `1 job`, `3 jobs`."""
    shown = f"{count:g}" if isinstance(count, float) else f"{count:,}"
    return f"{shown} {noun}{'' if count == 1 else 's'}"


def format_number(value: Any) -> str:
    """Format a metric with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def make_table(*columns: str, ids: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """Create an empty table in the style of the command line.

    The first column, if it has `ids`, is never cut or wrapped; columns that are `whole` are not wrapped.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        if number == 0 and ids:
            table.add_column(column, no_wrap=True, min_width=max(map(len, ids)))
        else:
            table.add_column(column, overflow="fold", no_wrap=column in whole)
    return table


@contextmanager
def transfer_bar(title: str, *, quiet: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar; yields a function of the bytes done and in all.

    Without a terminal it prints one line at the end; with `quiet` nothing.
    """
    from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    if quiet or not console.is_terminal:
        done_bytes = 0

        def count(done: int, _total: int | None) -> None:
            nonlocal done_bytes
            done_bytes = done

        yield count
        if not quiet and done_bytes:
            console.print(f"{title} {format_size(done_bytes)}: done")
        return
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn(escape(title)), BarColumn(), *columns, console=console) as progress:
        bar = progress.add_task("", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


class _JobProgress(Progress):
    """A progress bar with a line of details below it."""

    detail = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield Text(self.detail, style="dim")


def follow_with_bar(plinth: Plinth, job_id: str) -> Job:
    """Show the progress of a job on a terminal; returns the ended job."""
    job = plinth.jobs.get(job_id)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with _JobProgress(*columns, console=console) as progress:
        bar = progress.add_task(escape(_format_title(job)), total=100)
        message = ""
        for event in plinth.jobs.events(job_id):
            message = str(event.data.get("message", message)) if event.kind == "log" else message
            job = plinth.jobs.get(job_id)
            progress.detail = _format_detail(job, message)
            progress.update(bar, completed=job.progress.percent or 0)
        job = plinth.jobs.get(job_id)
        progress.detail = _format_detail(job, message)
        progress.update(bar, completed=100 if job.state == "succeeded" else job.progress.percent or 0)
    return job


def print_outcome(job: Job) -> None:
    """Print the final state of a job, with the reason or error."""
    name = f" -> [bold]{job.model}[/]" if job.model else ""
    console.print(f"{job.id}  {format_state(job.state)}{name}  {escape(job.reason or '')}")
    if job.error:
        console.print(f"[red]{escape(job.error.message)}[/]")
        if job.error.hint:
            console.print(escape(job.error.hint))


def print_evaluation(report: Mapping[str, Any]) -> None:
    """Print metrics with interval, trivial baseline and reference, and the confusion matrix if present."""
    if not report.get("metrics"):
        _print_notes(report)
        return
    baseline, intervals = report.get("baseline") or {}, report.get("intervals") or {}
    reference = report.get("reference") or {}
    names = ["metric", report.get("split") or "test", "95 % interval", "trivial baseline"]
    table = make_table(*names, *(["reference"] if reference else []))
    for name, value in report.get("metrics", {}).items():
        bounds = intervals.get(name)
        interval = f"{format_number(bounds[0])} to {format_number(bounds[1])}" if bounds else ""
        trivial = format_number(baseline[name]) if name in baseline else ""
        beside = (reference.get("metrics") or {}).get(name)
        cells = [f"[dim]{'' if beside is None else format_number(beside)}[/]"] if reference else []
        table.add_row(name, f"[bold]{format_number(value)}[/]", interval, f"[dim]{trivial}[/]", *cells)
    if summary := report.get("summary"):
        console.print(f"{escape(summary)}\n", soft_wrap=True)
    console.print(table)
    if reference:
        console.print(
            f"[dim]reference:[/] {escape(str(reference.get('model')))}, {reference.get('rows')} training rows"
        )
    if adjustments := (report.get("training") or {}).get("small_data_adjustments"):
        console.print(f"[dim]note:[/] {escape(adjustments)}")
    _print_transfer(report.get("transfer") or {})
    for note in report.get("notes") or ():
        console.print(f"[dim]note:[/] {escape(note)}")
    print_warnings(report.get("warnings") or ())
    _print_calibration(report.get("calibration") or {})
    _print_parts(report.get("parts") or {})
    if report.get("classes") and report.get("confusion_matrix"):
        _print_confusions(report)


def _print_confusions(report: Mapping[str, Any]) -> None:
    classes, matrix = report["classes"], report["confusion_matrix"]
    if len(classes) > MAX_CLASSES_SHOWN:
        console.print(
            f"[dim]The confusion matrix has {len(classes)} classes (at most {MAX_CLASSES_SHOWN} are shown); "
            "it is in `plinth jobs report --json`.[/]"
        )
        return
    console.print(f"\nConfusion matrix of {report.get('rows')} rows (lines: true classes, columns: predictions)")
    console.print(_make_confusion_table(classes, matrix, {row["label"]: row for row in report.get("per_class") or ()}))


def _print_transfer(section: Mapping[str, Any]) -> None:
    """Print which labels and bodies came from base models."""
    _print_transferred_labels(section.get("labels") or {})
    for slot, crossed in (section.get("crossed") or {}).items():
        console.print(
            f"[dim]transfer:[/] {escape(slot)} has the body of a {escape(crossed['architecture'])} that read "
            f"{escape(crossed['source_signal'])}; {len(crossed['loaded'])} tensors loaded, {len(crossed['new'])} new"
        )


def _print_transferred_labels(section: Mapping[str, Sequence[str]]) -> None:
    """Print which labels came from the base model, if others did not."""
    if not section.get("new") and not section.get("dropped"):
        return
    parts = [f"{len(section.get('loaded', ()))} from the base model"]
    for name in ("new", "dropped"):
        if labels := section.get(name):
            shown = ", ".join(labels[:MAX_CLASSES_SHOWN]) + (", ..." if len(labels) > MAX_CLASSES_SHOWN else "")
            parts.append(f"{len(labels)} {name} ({shown})")
    console.print(f"[dim]labels:[/] {escape(', '.join(parts))}")


def _print_calibration(section: Mapping[str, Any]) -> None:
    """Print how far the confidence of a classifier is from its accuracy."""
    if "ece" not in section:
        return
    before = section.get("before")
    was = f", {format_number(before['ece'])} before calibration" if before else ""
    console.print(f"[dim]calibration:[/] confidence and accuracy differ by {format_number(section['ece'])}{was}")


def _print_parts(sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the accuracy or error of each part alone, and of all parts."""
    for part, section in sections.items():
        metric = "accuracy" if "accuracy" in section else "rmse"
        alone, together = (format_number(section[name]) for name in (metric, f"{metric}_of_all"))
        rows = f"{section['rows']} rows"
        console.print(f"[dim]{escape(part)} alone:[/] {metric} {alone}, with all parts {together}, on {rows}")


def _print_notes(report: Mapping[str, Any]) -> None:
    """Print the result of an import or export, which has no metrics."""
    for note in report.get("notes") or ():
        console.print(f"- {escape(str(note))}", soft_wrap=True)
    print_warnings(report.get("warnings") or ())
    scalars = {key: value for key, value in report.items() if isinstance(value, str | int | float) and key != "rows"}
    for name, value in scalars.items():
        console.print(f"[dim]{escape(name)}:[/] {escape(format_number(value))}", soft_wrap=True)


def print_warnings(warnings: Sequence[str]) -> None:
    """Print the reasons not to trust a model."""
    for warning in warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)


def print_licenses(licenses: Sequence[License]) -> None:
    """Print the licenses of what a model is made of."""
    for license in licenses:
        note = "  [yellow]excludes commercial use[/]" if license.noncommercial else ""
        console.print(f"license of {license.kind} {escape(license.reference)}: {escape(license.license)}{note}")


def print_dataset_report(report: DatasetReport) -> None:
    """Print the row counts and issues of a dataset, with the first locations."""
    console.print(
        f"{report.rows} rows: [green]{report.accepted} accepted[/], "
        f"{report.repaired} repaired, {report.rejected} rejected"
    )
    _print_columns(report)
    for finding in report.errors:
        color = {"error": "red", "note": "dim"}.get(finding.severity, "yellow")
        console.print(f"[{color}]{finding.count} x {escape(finding.code)}[/]")
        for sample in finding.sample[:3]:
            location = ", ".join(
                f"{key} {sample[key]}" for key in ("file", "row", "column") if sample.get(key) is not None
            )
            values = ", ".join(f"{key} {sample[key]}" for key in ("found", "expected") if sample.get(key) is not None)
            console.print(f"    {escape(': '.join(filter(None, (location, values))))}")
        if finding.hint:
            console.print(f"    {escape(finding.hint)}")
    for suggestion in report.suggestions:
        console.print(f"[dim]note:[/] {escape(str(suggestion.get('message', suggestion)))}")


def _print_columns(report: DatasetReport) -> None:
    """Print what was read and as what, and how to name something else."""
    guess = report.guess or {}
    columns = ", ".join(f"{name} = {source}" for name, source in (guess.get("columns") or {}).items())
    reading = report.reading or (f"read: {columns}" if columns else "")
    if reading:
        console.print(escape(reading), soft_wrap=True)
    guesses = [f"{name} {guess[name]}" for name in ("format", "task") if guess.get(name)]
    if guesses:
        others = " Other columns: --columns NAME=COLUMN." if columns else ""
        hint = f"[dim]Another task: --task TASK.{others}[/]"
        console.print(f"taken as: {escape(', '.join(guesses))}. {hint}", soft_wrap=True)


def make_train_command(dataset: Dataset) -> str:
    """Return the command that trains a first model on a dataset."""
    return f"plinth train {dataset.name} --model {dataset.name}"


def make_predict_command(model: object, task: str | None) -> str:
    """Return the command that runs a model, with an input that fits its task."""
    return f"plinth predict {model} {TASK_INPUTS.get(task or '', 'FILE')}"


def draw_image(pixels: Sequence[Sequence[int]]) -> Text:
    """Draw gray pixels 0..255 about square on the terminal.

    Half blocks put two rows of pixels into one line. A terminal without colors gets characters of different density.
    """
    if console.color_system is None:
        return Text("\n".join("".join(SHADES[value * len(SHADES) // 256] * 2 for value in row) for row in pixels))
    drawing = Text()
    for top in range(0, len(pixels), 2):
        upper = pixels[top]
        lower = pixels[top + 1] if top + 1 < len(pixels) else [0] * len(upper)
        for above, below in zip(upper, lower, strict=True):
            drawing.append("▀", style=f"rgb({above},{above},{above}) on rgb({below},{below},{below})")
        drawing.append("\n")
    drawing.rstrip()
    return drawing


def _format_title(job: Job) -> str:
    return f"{job.kind} {job.training.get('model', '')}".strip()


def _format_detail(job: Job, message: str) -> str:
    """Format the progress: `epoch 3/10   2,100 rows/s   12 s left   validation/accuracy 0.991`.

    Before the first epoch, `message` stands in place of the epoch.
    """
    progress, parts = job.progress, [] if job.state == "running" else [job.state]
    if job.state == "queued" and job.queue_position:
        parts.append(f"position {job.queue_position} in the queue")
    if progress.phase and progress.phase != "training" and job.state == "running":
        parts.append(progress.phase)
    if progress.epoch and progress.epochs:
        parts.append(f"epoch {progress.epoch:g}/{progress.epochs}")
    elif message:
        parts.append(message)
    if progress.samples_per_second:
        parts.append(f"{progress.samples_per_second:,.0f} rows/s")
    if progress.eta_seconds and job.state == "running":
        parts.append(f"{progress.eta_seconds:.0f} s left")
    names = sorted(job.metrics, key=lambda name: (not name.startswith("validation/"), name))[:METRICS_WHILE_RUNNING]
    return "   ".join(parts + [f"{name} {format_number(job.metrics[name])}" for name in names])


def _make_confusion_table(
    classes: Sequence[str], matrix: Sequence[Sequence[int]], per_class: Mapping[str, Mapping[str, Any]]
) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", style="bold")
    for name in classes:
        table.add_column(escape(name), justify="right")
    table.add_column("recall", justify="right", style="dim")
    table.add_column("precision", justify="right", style="dim")
    for row, name in enumerate(classes):
        cells = [
            f"[green]{count}[/]" if row == column else f"[red]{count}[/]" if count else "[dim]·[/]"
            for column, count in enumerate(matrix[row])
        ]
        metrics = per_class.get(name, {})
        table.add_row(
            escape(name), *cells, _format_percent(metrics.get("recall")), _format_percent(metrics.get("precision"))
        )
    return table


def _format_percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.0%}"
