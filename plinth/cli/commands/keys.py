"""`plinth keys`: list, create and revoke API keys."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from plinth.cli.commands.context import connect

app = typer.Typer(help="List API keys, create and revoke them.", invoke_without_command=True)


@app.callback()
def list_keys(context: typer.Context) -> None:
    """List API keys."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        keys = plinth.keys.list()
    shown = render.table("key", "name", "created", "last used", "")
    for key in keys:
        shown.add_row(
            key.id,
            key.name,
            render.ago(key.created_at),
            render.ago(key.last_used_at),
            "revoked" if key.revoked_at else "",
        )
    render.console.print(shown)
    render.next_step("plinth keys create NAME")


@app.command("create")
def create_key(name: Annotated[str, typer.Argument(help="What it is for.")]) -> None:
    """Make a key; its secret is shown this once."""
    from plinth.cli.render import next_step

    with connect() as plinth:
        key = plinth.keys.create(name)
    sys.stdout.write(f"{key.secret}\n")
    next_step(f"plinth keys revoke {key.id}")


@app.command("revoke")
def revoke_key(key: Annotated[str, typer.Argument(help="Its id, from `plinth keys`.")]) -> None:
    """From now on the service refuses this key."""
    from plinth.cli.render import console

    with connect() as plinth:
        plinth.keys.revoke(key)
    console.print(f"{key} is revoked.")
