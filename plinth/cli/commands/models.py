"""`plinth models`: list them, and bring, name, download or delete one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plinth.cli.commands.context import ModelReference, connect, print_json

app = typer.Typer(help="List models, and bring, name, download or delete one.", invoke_without_command=True)


@app.callback()
def list_models(context: typer.Context, limit: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """List models, newest first."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        models = plinth.models.list(limit=limit)
    shown = render.table("model", "task", "versions", "aliases", "updated")
    for model in models:
        aliases = ", ".join(f"{alias} -> {version}" for alias, version in model.aliases.items())
        shown.add_row(
            model.name,
            model.task or "base",
            f"{model.versions}, latest {model.latest_version}",
            aliases,
            render.ago(model.updated_at),
        )
    render.console.print(shown)
    render.next_step(f"plinth models show {models[0].name}" if models else "plinth train DATASET --model NAME")


@app.command("show")
def show_model(
    model: ModelReference, as_json: Annotated[bool, typer.Option("--json", help="All of it.")] = False
) -> None:
    """What a version is, how good it was, what answers for it, and how that was proved."""
    from plinth.cli.render import next_step
    from plinth.cli.render_model import version

    with connect() as plinth:
        found = plinth.models.get(model)
    if as_json:
        print_json(found)
        return
    version(found)
    next_step(f"plinth predict {found.name}@{found.version} FILE")


@app.command("alias")
def alias_model(
    model: Annotated[str, typer.Argument(help="The version, like digits@3.", metavar="MODEL@VERSION")],
    alias: Annotated[str, typer.Argument(help="`production` is what the bare name means.")],
) -> None:
    """Point an alias at a version."""
    from plinth.cli.render import console, next_step

    with connect() as plinth:
        version = plinth.models.get(model)
        plinth.models.set_alias(version.name, alias, version.version)
    console.print(f"{version.name}@{alias} is now version {version.version}.")
    next_step(f"plinth predict {version.name}@{alias} FILE")


@app.command("unalias")
def unalias_model(
    reference: Annotated[str, typer.Argument(help="Like digits@production.", metavar="MODEL@ALIAS")],
) -> None:
    """Forget an alias; its version stays."""
    from plinth.cli.render import console

    name, _, alias = reference.partition("@")
    if not alias:
        raise typer.BadParameter("name the alias, like digits@production", param_hint="MODEL@ALIAS")
    with connect() as plinth:
        plinth.models.delete_alias(name, alias)
    console.print(f"{reference} is forgotten.")


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="A Hugging Face folder or a zip of one, a package, or an .onnx file.")],
    name: Annotated[str | None, typer.Option(help="Absent: that of the file.")] = None,
    task: Annotated[str | None, typer.Option(help="What an .onnx file is for.")] = None,
    labels: Annotated[str | None, typer.Option(help="The classes of an .onnx file in their order, by comma.")] = None,
) -> None:
    """Bring a model that was trained elsewhere."""
    from plinth.cli.render import console, next_step, transfer

    listed = [label.strip() for label in labels.split(",")] if labels else None
    with connect() as plinth:
        with transfer("uploading") as bar:
            line = bar.add_task("", total=None)
            job = plinth.models.import_(
                file,
                name=name,
                task=task,
                labels=listed,
                on_progress=lambda sent, total: bar.update(line, completed=sent, total=total),
            )
        made = plinth.jobs.wait(job.id)
        for note in plinth.jobs.report(job.id)["notes"]:
            console.print(f"- {note}", soft_wrap=True)
    console.print(f"{made.model} is here.")
    next_step(f"plinth models show {made.model}")


@app.command("download")
def download_model(
    model: ModelReference,
    to: Annotated[Path, typer.Option(help="A folder or a file name.")] = Path(),
    file: Annotated[str | None, typer.Option(help="Only this file of the package.")] = None,
    format: Annotated[str | None, typer.Option(help="For another library: huggingface, onnx.")] = None,
) -> None:
    """Save a model's package as a zip."""
    from plinth.cli.render import console, transfer

    with connect() as plinth, transfer("downloading") as bar:
        if format is not None:
            plinth.jobs.wait(plinth.jobs.export(model, format=format).id)
        line = bar.add_task("", total=None)
        saved = plinth.models.download(
            model, to, file=file, format=format, on_progress=lambda got: bar.update(line, completed=got)
        )
    console.print(str(saved), soft_wrap=True)


@app.command("delete")
def delete_model(model: ModelReference) -> None:
    """Delete a version (name@3), or by the bare name all of them."""
    from plinth.cli.render import console

    with connect() as plinth:
        plinth.models.delete(model)
    console.print(f"{model} is deleted.")
