"""`plinth keys`: list, create and revoke API keys."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from plinth.cli.commands.context import AsJson, Yes, confirm, connect, print_json, resolve_key_id
from plinth.cli.plain_help import PlainTyper

#: After the key in use was revoked.
WAY_BACK = (
    "This machine has no valid key now. Set PLINTH_API_KEY to another key, or restart `plinth up` on the machine of "
    "the service: it makes a new key."
)

app = PlainTyper(help="List, create and revoke API keys.", invoke_without_command=True)


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
    table = render.make_table("key", "name", "created", "last used", "", ids=[key.id for key in keys])
    for key in keys:
        table.add_row(
            key.id,
            key.name,
            render.format_age(key.created_at),
            render.format_age(key.last_used_at),
            "revoked" if key.revoked_at else "in use by this command" if key.is_current else "",
        )
    render.console.print(table)
    render.print_next_step("plinth keys create NAME")


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Purpose of the key, shown in lists.")], as_json: AsJson = False
) -> None:
    """Create a key and print its secret, which is shown only once."""
    from plinth.cli.render import print_next_step

    with connect() as plinth:
        key = plinth.keys.create(name)
    if as_json:
        print_json(key)
        return
    sys.stdout.write(f"{key.secret}\n")
    print_next_step(f"plinth keys revoke {key.id}")


@app.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="Name or id of the key, or the beginning of its id.")], yes: Yes = False
) -> None:
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
