"""What the terminal shows: tables, progress while a job runs, a report, a picture."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
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
    from plinth.client.types import Dataset, DatasetReport, Job

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

STATE_COLOURS: Mapping[str, str] = {
    "succeeded": "green",
    "ready": "green",
    "running": "cyan",
    "failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
}
MOST_CLASSES_SHOWN = 20
METRICS_WHILE_RUNNING = 2
SHADES = " .:-=+*#%@"


def next_step(*commands: str) -> None:
    """The last lines of a command: what is useful now."""
    for command in commands:
        console.print(f"[dim]next:[/] [bold]{escape(pasteable(command))}[/]", soft_wrap=True)


def pasteable(command: str) -> str:
    """`plinth ...` as it can be typed here: a virtual environment that is not active is named."""
    program, _, rest = command.partition(" ")
    if not shutil.which(program):
        called = Path(sys.argv[0])
        program = str(called) if called.name == program else f"{sys.executable} -m {program}"
    return f"{program} {rest}"


def state(name: str) -> str:
    """A state in its colour."""
    return f"[{STATE_COLOURS.get(name, 'default')}]{name}[/]"


def ago(time: datetime | None) -> str:
    """How long ago, in its largest unit."""
    if time is None:
        return ""
    seconds = max(0, int((datetime.now(UTC) - time).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def size(number: float | None) -> str:
    """Bytes as people read them."""
    if number is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def number(value: Any) -> str:
    """A metric, short enough for a table."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(*columns: str) -> Table:
    """An empty table in the one style."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column)
    return made


def transfer(title: str) -> Progress:
    """A bar for bytes; `add_task(title, total=...)` and `update(completed=...)` as usual."""
    from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn(escape(title)),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


class _Watch(Progress):
    """A bar, and under it what is known of the job."""

    detail = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield Text(self.detail, style="dim")


def follow(plinth: Plinth, job_id: str) -> Job:
    """Show a job's progress until it has ended; gives the job as it ended."""
    job = plinth.jobs.get(job_id)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with _Watch(*columns, console=console) as watch:
        bar = watch.add_task(escape(_title(job)), total=100)
        message = ""
        for event in plinth.jobs.events(job_id):
            message = str(event.data.get("message", message)) if event.kind == "log" else message
            job = plinth.jobs.get(job_id)
            watch.detail = _detail(job, message)
            watch.update(bar, completed=job.progress.percent or 0)
        job = plinth.jobs.get(job_id)
        watch.detail = _detail(job, message)
        watch.update(bar, completed=100 if job.state == "succeeded" else job.progress.percent or 0)
    return job


def outcome(job: Job) -> None:
    """How a job ended, and why."""
    name = f" -> [bold]{job.model}[/]" if job.model else ""
    console.print(f"{job.id}  {state(job.state)}{name}  {escape(job.reason or '')}")
    if job.error:
        console.print(f"[red]{escape(job.error.message)}[/]")
        if job.error.hint:
            console.print(escape(job.error.hint))


def evaluation(report: Mapping[str, Any]) -> None:
    """Metrics with interval and trivial baseline, and the confusion matrix where there is one."""
    baseline, intervals = report.get("baseline") or {}, report.get("intervals") or {}
    shown = table("metric", report.get("split", "test"), "95 % interval", "trivial baseline")
    for name, value in report.get("metrics", {}).items():
        low_high = intervals.get(name)
        between = f"{number(low_high[0])} to {number(low_high[1])}" if low_high else ""
        trivial = number(baseline[name]) if name in baseline else ""
        shown.add_row(name, f"[bold]{number(value)}[/]", between, f"[dim]{trivial}[/]")
    console.print(shown)
    if few := (report.get("training") or {}).get("small_data_adjustments"):
        console.print(f"[dim]note:[/] {escape(few)}")
    weaknesses(report.get("warnings") or ())
    classes, matrix = report.get("classes"), report.get("confusion_matrix")
    if not classes or not matrix:
        return
    if len(classes) > MOST_CLASSES_SHOWN:
        console.print(f"[dim]The confusion matrix has {len(classes)} classes; it is in the report as JSON.[/]")
        return
    console.print(f"\nConfusion matrix of {report.get('rows')} rows: each line a class, each column what was answered")
    console.print(_confusion(classes, matrix, {row["label"]: row for row in report.get("per_class") or ()}))


def weaknesses(warnings: Sequence[str]) -> None:
    """Why not to trust a model."""
    for warning in warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")


def findings(report: DatasetReport) -> None:
    """What was found in a data set, with where it was first seen."""
    console.print(
        f"{report.rows} rows: [green]{report.accepted} accepted[/], "
        f"{report.repaired} repaired, {report.rejected} rejected"
    )
    for finding in report.errors:
        colour = "red" if finding.severity == "error" else "yellow"
        console.print(f"[{colour}]{finding.count} x {escape(finding.code)}[/]")
        for sample in finding.sample[:3]:
            where = ", ".join(
                f"{key} {sample[key]}" for key in ("file", "row", "column") if sample.get(key) is not None
            )
            said = [f"{key} {sample[key]}" for key in ("found", "expected") if sample.get(key) is not None]
            console.print(f"    {escape(': '.join(filter(None, (where, ', '.join(said)))))}")
        if finding.hint:
            console.print(f"    {escape(finding.hint)}")
    for suggestion in report.suggestions:
        console.print(f"[dim]note:[/] {escape(str(suggestion.get('message', suggestion)))}")


def first_training(dataset: Dataset) -> str:
    """The command that makes a first model of a dataset."""
    return f"plinth train {dataset.name} --model {dataset.name}"


def picture(pixels: Sequence[Sequence[int]]) -> Text:
    """Grey pixels 0..255, about square on the screen: two rows a line in half blocks; without colours as characters."""
    if console.color_system is None:
        return Text("\n".join("".join(SHADES[value * len(SHADES) // 256] * 2 for value in row) for row in pixels))
    drawn = Text()
    for top in range(0, len(pixels), 2):
        upper = pixels[top]
        lower = pixels[top + 1] if top + 1 < len(pixels) else [0] * len(upper)
        for above, below in zip(upper, lower, strict=True):
            drawn.append("▀", style=f"rgb({above},{above},{above}) on rgb({below},{below},{below})")
        drawn.append("\n")
    drawn.rstrip()
    return drawn


def _title(job: Job) -> str:
    return f"{job.kind} {job.spec.get('model', '')}".strip()


def _detail(job: Job, message: str) -> str:
    """`epoch 3/10   2,100 rows/s   12 s left   validation/accuracy 0.991`; before that, what the run says."""
    progress, told = job.progress, [] if job.state == "running" else [job.state]
    if progress.phase and progress.phase != "training" and job.state == "running":
        told.append(progress.phase)
    if progress.epoch and progress.epochs:
        told.append(f"epoch {progress.epoch:g}/{progress.epochs}")
    elif message:
        told.append(message)
    if progress.samples_per_second:
        told.append(f"{progress.samples_per_second:,.0f} rows/s")
    if progress.eta_seconds and job.state == "running":
        told.append(f"{progress.eta_seconds:.0f} s left")
    first = sorted(job.metrics, key=lambda name: (not name.startswith("validation/"), name))[:METRICS_WHILE_RUNNING]
    return "   ".join(told + [f"{name} {number(job.metrics[name])}" for name in first])


def _confusion(
    classes: Sequence[str], matrix: Sequence[Sequence[int]], per_class: Mapping[str, Mapping[str, Any]]
) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("", style="bold")
    for name in classes:
        shown.add_column(escape(name), justify="right")
    shown.add_column("recall", justify="right", style="dim")
    shown.add_column("precision", justify="right", style="dim")
    for row, name in enumerate(classes):
        cells = [
            f"[green]{count}[/]" if row == column else f"[red]{count}[/]" if count else "[dim]·[/]"
            for column, count in enumerate(matrix[row])
        ]
        judged = per_class.get(name, {})
        shown.add_row(escape(name), *cells, _percent(judged.get("recall")), _percent(judged.get("precision")))
    return shown


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
