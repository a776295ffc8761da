"""`plinth down`: stop the service of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def down(
    folder: Annotated[
        Path | None, typer.Option("--home", help="Folder of the service (default: PLINTH_HOME, else ~/.plinth).")
    ] = None,
) -> None:
    """Stop the service that `plinth up` started, and wait for its end."""
    from plinth.cli.render import console
    from plinth.client.home import home
    from plinth.local.stop import stop_service

    if folder is not None:
        os.environ["PLINTH_HOME"] = str(folder.absolute())
    pid = stop_service(home())
    if pid is None:
        console.print(f"No service runs in {home()}.", soft_wrap=True)
        return
    console.print(
        f"Stopped the service in {home()} (process {pid}). Running jobs resume from their last checkpoint at the next "
        "start: plinth up",
        soft_wrap=True,
    )
