"""`plinth models watch`: record answers of a model, look for drift, and act on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from plinth.cli.commands.completion import model_references
from plinth.cli.commands.context import AsJson, connect, print_json

if TYPE_CHECKING:
    from plinth.client.types import Watch

Keep = Literal["off", "sketches", "rows"]
Then = Literal["tell", "train", "promote"]
ModelName = Annotated[str, typer.Argument(help="Name of the model.", metavar="MODEL", autocompletion=model_references)]
#: Events that are shown, the newest last.
EVENTS_SHOWN = 10


def watch_model(
    model: ModelName,
    keep: Annotated[Keep | None, typer.Option(help="What is recorded: nothing, sketches, or rows with inputs.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Fraction of the answers.", min=0, max=1)] = None,
    drift: Annotated[str | None, typer.Option(help="Drift tests, separated by commas, or `auto`.")] = None,
    then: Annotated[
        Then | None, typer.Option(help="What follows drift or enough feedback: a note, a training, or a promotion.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset of the rehearsal (default: that of the model).")] = None,
    min_feedback: Annotated[int | None, typer.Option(help="Rows of feedback that start a training.", min=20)] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of a training.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Watch a model for drift, or show its watch without any option."""
    changes: dict[str, Any] = {
        "keep": keep,
        "fraction": fraction,
        "drift": drift if drift in (None, "auto") else [name.strip() for name in drift.split(",")],
        "then": then,
        "dataset": dataset,
        "min_feedback": min_feedback,
        "training": None if epochs is None else {"schedule": {"epochs": epochs}},
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    with connect() as plinth:
        if changes:
            watch = plinth.models.set_watch(model, **{**_present_options(plinth, model), **changes})
        else:
            watch = plinth.models.get_watch(model)
    if as_json:
        print_json(watch)
    else:
        _print_watch(watch)


def unwatch_model(model: ModelName) -> None:
    """Record nothing of a model any more, and delete all records of its requests."""
    from plinth.cli.render import console

    with connect() as plinth:
        plinth.models.delete_watch(model)
    console.print(f"Nothing of the requests of {model} is recorded, and all records are deleted.")


def _present_options(plinth: Any, model: str) -> dict[str, Any]:
    """Return the options of the watch; empty without one."""
    from plinth.client.errors import NotFound
    from plinth.client.types import to_document

    try:
        document = to_document(plinth.models.get_watch(model))
    except NotFound:
        return {}
    return {name: value for name, value in document.items() if name not in _ANSWER_FIELDS}


_ANSWER_FIELDS = frozenset({"object", "model", "state", "created_at", "updated_at"})


def _print_watch(watch: Watch) -> None:
    from plinth.cli import render

    state, console = watch.state, render.console
    console.print(
        f"{watch.model}: keep {watch.keep}, {watch.fraction:.0%} of the answers, then {watch.then}. "
        f"{state.records:,} records ({render.format_size(state.bytes)}), {state.feedback:,} rows of feedback.",
        soft_wrap=True,
    )
    table = render.make_table("test", "version", "rows", "evidence", "alarm at", "alarm", ids=[])
    for drift in state.drift:
        alarm = "" if drift.alarm_row is None else f"row {drift.alarm_row}, {render.format_age(drift.alarm_at)}"
        numbers = [render.format_number(drift.value), render.format_number(drift.threshold)]
        table.add_row(drift.test, str(drift.version), str(drift.rows), *numbers, alarm)
    if state.drift:
        console.print(table)
    for event in state.events[-EVENTS_SHOWN:]:
        console.print(f"- {render.format_age(event.at)}: {event.message}", soft_wrap=True, markup=False)
    render.print_next_step(f"plinth feedback candidates {watch.model}")
