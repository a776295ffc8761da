"""The `plinth` command. Commands end by printing the next useful command."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from plinth.cli.commands import bases, datasets, jobs, keys, models, webhooks
from plinth.cli.commands.adaptation import feedback
from plinth.cli.commands.adaptation.watch import unwatch_model, watch_model
from plinth.cli.commands.catalog import catalog
from plinth.cli.commands.context import AsJson, connect, print_json
from plinth.cli.commands.down import down
from plinth.cli.commands.gc import gc
from plinth.cli.commands.model_jobs.batch_predict import batch_predict
from plinth.cli.commands.model_jobs.evaluate import evaluate
from plinth.cli.commands.model_jobs.prune import prune
from plinth.cli.commands.model_jobs.reproduce import reproduce
from plinth.cli.commands.predict import predict
from plinth.cli.commands.train import train, watch
from plinth.cli.commands.upload import upload
from plinth.cli.plain_help import PlainTyper

app = PlainTyper(
    help="Upload data, pretrain, fine-tune, evaluate, serve: foundation models on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models.app.command("watch")(watch_model)
models.app.command("unwatch")(unwatch_model)
for group in (jobs, datasets, models, bases, feedback, keys, webhooks):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2])


def main() -> None:
    """Run the command.

    Errors that the user can act on are printed in red, without a traceback, and the exit code is 1.
    """
    from plinth.client.errors import PlinthError

    try:
        app()
    except (PlinthError, OSError) as error:
        from rich.markup import escape

        from plinth.cli.render import error_console

        error_console.print(f"[red]{escape(to_shell_words(str(error)))}[/]", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def to_shell_words(message: str) -> str:
    """Replace requests that a message of the API names by the commands that send them."""
    message = re.sub(r"GET /api/v1/datasets/(\S+)/report lists", r"`plinth datasets report \1` lists", message)
    message = message.replace("GET /api/v1/jobs/{job_id} has its state", "`plinth jobs show` has its state")
    return re.sub(r"GET /api/v1/(datasets|jobs|models|keys|webhooks) lists", r"`plinth \1` lists", message)


def _print_version(is_requested: bool) -> None:
    from plinth import __version__

    if is_requested:
        sys.stdout.write(f"plinth {__version__}\n")
        raise typer.Exit


@app.callback()
def set_up(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Upload data, pretrain, fine-tune, evaluate, serve: foundation models on your own machine."""


@app.command()
def up(
    port: Annotated[
        int, typer.Option(envvar="PLINTH_PORT", help="Port of the API; 0 for any free port.", min=0, max=65_535)
    ] = 8000,
    host: Annotated[str, typer.Option(envvar="PLINTH_HOST", help="Address to listen on.")] = "127.0.0.1",
    api_processes: Annotated[
        int,
        typer.Option(envvar="PLINTH_API_PROCESSES", help="Number of API processes, one core each.", min=1, max=64),
    ] = 1,
    folder: Annotated[
        Path | None, typer.Option("--home", help="Folder for data and logs (default: PLINTH_HOME, else ~/.plinth).")
    ] = None,
) -> None:
    """Start the whole service on this machine and run it until Ctrl-C."""
    from rich.markup import escape

    from plinth.cli.render import console
    from plinth.client.home import api_key, home
    from plinth.local.stack import Stack

    if folder is not None:
        os.environ["PLINTH_HOME"] = str(folder.absolute())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())

    def print_line(line: str) -> None:
        console.print(escape(line), soft_wrap=True)

    stack = Stack(home(), host=host, port=port, api_processes=api_processes, print_line=print_line)
    with stack.acquire_folder():
        stack.start(stop)
        if not stop.is_set():
            _print_ready(stack.url, api_key(stack.url) or "", home())
        stack.supervise(stop)
        console.print("Stopping ...")
    console.print("Stopped. Running jobs resume from their last checkpoint at the next start.", soft_wrap=True)


app.command("down")(down)


@app.command("open")
def open_page() -> None:
    """Open the page of the service, signed in; print a link where no browser starts."""
    import webbrowser

    from plinth.cli.render import console

    with connect() as plinth:
        link = plinth.sign_in_link()
    if webbrowser.open(link):
        console.print(f"Opened {link.partition('?')[0].removesuffix('/login')} in the browser.", soft_wrap=True)
        return
    console.print("No browser starts here. This link signs in once, within 15 minutes:", soft_wrap=True)
    console.print(link, soft_wrap=True, markup=False)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check service, device, broker, database, blobs and disk, and print fixes."""
    from rich.markup import escape

    from plinth.cli import doctor
    from plinth.cli.render import console, print_next_step
    from plinth.client.home import home, read_stack

    checks = list(doctor.run_checks())
    is_healthy = all(check.is_ok for check in checks)
    if as_json:
        print_json(checks)
        raise typer.Exit(0 if is_healthy else 1)
    for check in checks:
        mark = "[green]ok  [/]" if check.is_ok else "[red]FAIL[/]"
        console.print(f"{mark} [bold]{check.name:<9}[/] {escape(check.detail)}", soft_wrap=True)
        if check.fix:
            console.print(f"     [yellow]fix:[/] {escape(check.fix)}", soft_wrap=True)
    if not is_healthy:
        raise typer.Exit(1)
    print_next_step("plinth upload FILES" if read_stack(home()) else "plinth up")


app.command()(upload)
app.command()(train)
app.command()(watch)
app.command()(evaluate)
app.command()(predict)
app.command()(prune)
app.command()(reproduce)
app.command("batch-predict")(batch_predict)
app.command()(catalog)
app.command()(gc)


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option("--home", help="Folder for data and logs (default: `demo` in PLINTH_HOME).")
    ] = None,
) -> None:
    """Pretrain, fine-tune, evaluate and run a model of handwritten digits, in a minute."""
    from plinth.cli.demo import run
    from plinth.client.home import home

    run((folder or home() / "demo").absolute())


def _print_ready(url: str, key: str, home: Path) -> None:
    from rich.markup import escape

    from plinth.cli.render import console, print_next_step

    curl = f'curl -H "Authorization: Bearer {key}" {url}/api/v1/catalog'
    console.print(f"[bold green]Ready[/]   {url}")
    console.print(f"page    {_sign_in_link(url, key)}", soft_wrap=True, markup=False)
    console.print(f"docs    {url}/docs")
    console.print(f"folder  {escape(str(home))}", soft_wrap=True)
    console.print(f"try     {escape(curl)}", soft_wrap=True)
    print_next_step("plinth upload FILES")
    console.print("[dim]Ctrl-C stops everything, and so does plinth down.[/]")


def _sign_in_link(url: str, key: str) -> str:
    """Return a link that signs in once; the plain address if the service refuses one."""
    from plinth.client.client import Plinth
    from plinth.client.errors import PlinthError

    try:
        with Plinth(url, key) as plinth:
            return plinth.sign_in_link()
    except PlinthError:
        return url
