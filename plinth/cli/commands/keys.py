"""`plinth keys`: list, create and revoke API keys."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from plinth.cli.commands.context import connect

app = typer.Typer(help="List, create and revoke API keys.", invoke_without_command=True)


@app.callback()
def list_keys(context: typer.Context) -> None:
    """List API keys."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        keys = plinth.keys.list()
    table = render.make_table("key", "name", "created", "last used", "")
    for key in keys:
        table.add_row(
            key.id,
            key.name,
            render.format_age(key.created_at),
            render.format_age(key.last_used_at),
            "revoked" if key.revoked_at else "",
        )
    render.console.print(table)
    render.print_next_step("plinth keys create NAME")


@app.command("create")
def create_key(name: Annotated[str, typer.Argument(help="Purpose of the key, shown in lists.")]) -> None:
    """Create a key and print its secret, which is shown only once."""
    from plinth.cli.render import print_next_step

    with connect() as plinth:
        key = plinth.keys.create(name)
    sys.stdout.write(f"{key.secret}\n")
    print_next_step(f"plinth keys revoke {key.id}")


@app.command("revoke")
def revoke_key(key: Annotated[str, typer.Argument(help="Id of the key, from `plinth keys`.")]) -> None:
    """Revoke a key, so that the service rejects it from now on."""
    from plinth.cli.render import console

    with connect() as plinth:
        plinth.keys.revoke(key)
    console.print(f"Revoked {key}.")
