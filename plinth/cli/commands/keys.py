"""`plinth keys`: list, create, change, rotate and revoke API keys."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from plinth.cli.commands.context import AsJson, Yes, confirm, connect, print_json, resolve_key_id
from plinth.cli.plain_help import PlainTyper

if TYPE_CHECKING:
    from plinth.client.types import Key

#: After the key in use was revoked.
WAY_BACK = (
    "This machine has no valid key now. Set PLINTH_API_KEY to another key, or restart `plinth up` on the machine of "
    "the service: it makes a new key."
)

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

KeyArgument = Annotated[str, typer.Argument(help="Name or id of the key, or the beginning of its id.")]

app = PlainTyper(help="List, create, change, rotate and revoke API keys.", invoke_without_command=True)


@app.command("list")
@app.callback()
def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """List API keys."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        keys = plinth.keys.list()
    if as_json:
        print_json(keys)
        return
    table = render.make_table("key", "name", "may", "created", "last used", "", ids=[key.id for key in keys])
    for key in keys:
        table.add_row(
            key.id,
            key.name,
            _describe(key),
            render.format_age(key.created_at),
            render.format_age(key.last_used_at),
            _state_of(key),
        )
    render.console.print(table)
    render.print_next_step("plinth keys create NAME")


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Purpose of the key, shown in lists.")],
    scope: Annotated[
        str | None, typer.Option(help="predict, train or admin (default); each includes those before it.")
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="Model that a key of the scope predict may use, such as 'digits*'; repeatable."),
    ] = None,
    expires: Annotated[str | None, typer.Option(help="Time until the key ends, such as 90d or 12h.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Requests that it may send a minute.")] = None,
    max_jobs: Annotated[int | None, typer.Option(help="Jobs that it may have queued or running at once.")] = None,
    cpu_seconds_per_day: Annotated[
        int | None, typer.Option(help="CPU time of the trainings that it may start within a day.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print its secret, which is shown only once."""
    from plinth.cli.render import console, print_next_step

    with connect() as plinth:
        key = plinth.keys.create(
            name,
            scope=scope,
            models=models or None,
            requests_per_minute=requests_per_minute,
            max_jobs=max_jobs,
            cpu_seconds_per_day=cpu_seconds_per_day,
            expires_at=None if expires is None else datetime.now(UTC) + parse_duration(expires, "--expires"),
        )
    if as_json:
        print_json(key)
        return
    sys.stdout.write(f"{key.secret}\n")
    console.print(f"{key.name} {_explain(key)} Its secret is not shown again.", soft_wrap=True)
    print_next_step("plinth keys")


@app.command("update")
def update_key(
    key: KeyArgument,
    requests_per_minute: Annotated[str | None, typer.Option(help="Requests a minute; none: no limit.")] = None,
    max_jobs: Annotated[
        str | None, typer.Option(help="Jobs queued or running at once; none: as the settings of the service say.")
    ] = None,
    cpu_seconds_per_day: Annotated[
        str | None, typer.Option(help="CPU time of trainings of a day; none: as the settings of the service say.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change the limits of a key; those that are left out stay as they are."""
    from plinth.cli.render import console

    limits = {
        "requests_per_minute": requests_per_minute,
        "max_jobs": max_jobs,
        "cpu_seconds_per_day": cpu_seconds_per_day,
    }
    changes = {name: _parse_limit(text, name) for name, text in limits.items() if text is not None}
    if not changes:
        raise typer.BadParameter("no limit to change; set --requests-per-minute, --max-jobs or --cpu-seconds-per-day")
    with connect() as plinth:
        changed = plinth.keys.update(resolve_key_id(plinth, key), **changes)
    if as_json:
        print_json(changed)
        return
    console.print(f"{changed.name} may do: {_describe(changed)}.", soft_wrap=True)


@app.command("rotate")
def rotate_key(
    key: KeyArgument,
    grace: Annotated[str, typer.Option(help="Time in which the present secret is valid, too; 0s: none.")] = "1d",
    as_json: AsJson = False,
) -> None:
    """Give a key another secret; the present one is valid for the grace period."""
    from plinth.cli.render import print_next_step

    seconds = parse_duration(grace, "--grace").total_seconds()
    with connect() as plinth:
        rotated = plinth.keys.rotate(resolve_key_id(plinth, key), grace_seconds=seconds)
    if as_json:
        print_json(rotated)
        return
    sys.stdout.write(f"{rotated.secret}\n")
    print_next_step("plinth keys")


@app.command("revoke")
def revoke_key(key: KeyArgument, yes: Yes = False) -> None:
    """Revoke a key, so that the service rejects it from now on."""
    from plinth.cli.render import console

    with connect() as plinth:
        key_id = resolve_key_id(plinth, key)
        is_current = any(row.is_current for row in plinth.keys.list() if row.id == key_id)
        if is_current:
            confirm(f"{key_id} is the key of this command, which then cannot reach the service. Revoke it?", yes=yes)
        plinth.keys.revoke(key_id)
    console.print(f"Revoked {key_id}.")
    if is_current:
        console.print(WAY_BACK, soft_wrap=True)


def parse_duration(text: str, option: str) -> timedelta:
    """Parse `90d`, `12h`, `30m` or `10s`."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not a time; write a number and s, m, h or d, as in 90d", param_hint=option
        )
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise typer.BadParameter(
            f"{text} is too long (limit 999999999d); write a shorter time", param_hint=option
        ) from None


def _parse_limit(text: str, name: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal():
        option = f"--{name.replace('_', '-')}"
        raise typer.BadParameter(f"{text!r} is not a limit; write a number, or none", param_hint=option)
    return int(text)


def _explain(key: Key) -> str:
    """Return what the scope of a new key means."""
    if key.scope == "predict":
        models = f" {', '.join(key.models)}" if key.models else ""
        return f"may only ask models{models}."
    if key.scope == "train":
        return "may ask models, upload data and train."
    return "may do everything, as no narrower scope was set: --scope predict or --scope train limits a key."


def _describe(key: Key) -> str:
    """Return what a key may do: its scope, models, rate and quotas."""
    rate = f"{key.requests_per_minute}/min" if key.requests_per_minute else ""
    jobs = f"{key.max_jobs} jobs" if key.max_jobs else ""
    cpu = f"{key.cpu_seconds_per_day} CPU-s/day" if key.cpu_seconds_per_day else ""
    return " ".join(filter(None, (key.scope, ", ".join(key.models or ()), rate, jobs, cpu)))


def _state_of(key: Key) -> str:
    if key.revoked_at:
        return "revoked"
    if key.expires_at and key.expires_at <= datetime.now(UTC):
        return "expired"
    return "in use by this command" if key.is_current else ""
