"""`plinth models`: list, show, import, alias, download and delete models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plinth.cli.commands.completion import model_references
from plinth.cli.commands.context import AsJson, ModelReference, Yes, confirm, connect, print_json
from plinth.cli.plain_help import PlainTyper

if TYPE_CHECKING:
    from plinth.client.client import Plinth

#: Metrics of a version in the list of versions.
METRICS_SHOWN = 2

app = PlainTyper(help="List, import, alias, download and delete models.", invoke_without_command=True)


@app.command("list")
@app.callback()
def list_models(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="Maximum number of models.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List models, newest first."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        models = plinth.models.list(limit=limit)
    if as_json:
        print_json(models)
        return
    names = [model.name for model in models]
    table = render.make_table("model", "task", "versions", "aliases", "updated", ids=names)
    for model in models:
        aliases = ", ".join(f"{alias} -> {version}" for alias, version in model.aliases.items())
        table.add_row(
            model.name,
            model.task or "base",
            f"{model.versions}, latest {model.latest_version}",
            aliases,
            render.format_age(model.updated_at),
        )
    render.console.print(table)
    render.print_next_step(f"plinth models show {models[0].name}" if models else "plinth train DATASET --model NAME")


@app.command("show")
def show_model(model: ModelReference, as_json: AsJson = False) -> None:
    """Show a version: origin, metrics, engine, and the parity of its graphs."""
    from plinth.cli.render import make_predict_command, print_next_step
    from plinth.cli.render_model import print_version

    with connect() as plinth:
        version = plinth.models.get(model)
    if as_json:
        print_json(version)
        return
    print_version(version)
    print_next_step(make_predict_command(f"{version.name}@{version.version}", version.task))


@app.command("versions")
def list_versions(
    model: Annotated[str, typer.Argument(help="Name of the model.", metavar="MODEL", autocompletion=model_references)],
    as_json: AsJson = False,
) -> None:
    """List the versions of a model, newest first, with their metrics and origin."""
    from plinth.cli import render

    with connect() as plinth:
        versions = plinth.models.versions(model)
    if as_json:
        print_json(versions)
        return
    references = [f"{version.name}@{version.version}" for version in versions]
    table = render.make_table("version", "aliases", "size", "metrics", "job", "created", ids=references)
    for reference, version in zip(references, versions, strict=True):
        names = [name for name in version.metrics if name.startswith("test/")] or list(version.metrics)
        metrics = [f"{name} {render.format_number(version.metrics[name])}" for name in names[:METRICS_SHOWN]]
        job = version.lineage.job if version.lineage else None
        size, age = render.format_size(version.bytes), render.format_age(version.created_at)
        table.add_row(reference, ", ".join(version.aliases), size, ", ".join(metrics), job or "", age)
    render.console.print(table)
    render.print_next_step(f"plinth models show {references[0]}")


@app.command("alias")
def alias_model(
    model: Annotated[str, typer.Argument(help="Model version, like digits@3.", metavar="MODEL@VERSION")],
    alias: Annotated[str, typer.Argument(help="Name of the alias; the bare model name uses `production`.")],
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version."""
    from plinth.cli.render import console, make_predict_command, print_next_step

    with connect() as plinth:
        version = plinth.models.get(model)
        result = plinth.models.set_alias(version.name, alias, version.version)
    if as_json:
        print_json(result)
        return
    console.print(f"{version.name}@{alias} is now version {version.version}.")
    print_next_step(make_predict_command(f"{version.name}@{alias}", version.task))


@app.command("unalias")
def unalias_model(
    reference: Annotated[str, typer.Argument(help="Model and alias, like digits@production.", metavar="MODEL@ALIAS")],
) -> None:
    """Delete an alias; its version remains."""
    from plinth.cli.render import console

    name, _, alias = reference.partition("@")
    if not alias:
        raise typer.BadParameter("no alias; write MODEL@ALIAS, like digits@production", param_hint="MODEL@ALIAS")
    with connect() as plinth:
        plinth.models.delete_alias(name, alias)
    console.print(f"Deleted the alias {reference}.")


@app.command("split")
def split_model(
    model: Annotated[str, typer.Argument(help="Candidate, like digits@4.", metavar="MODEL@VERSION")],
    alias: Annotated[str, typer.Argument(help="Alias whose requests it gets.")] = "production",
    weight: Annotated[float, typer.Option(help="Fraction of the requests.", min=0, max=1)] = 0.1,
    shadow: Annotated[bool, typer.Option("--shadow", help="Send copies, whose answers are only counted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send part of an alias's requests to a second version."""
    from plinth.cli.render import print_next_step
    from plinth.cli.render_model import print_split

    with connect() as plinth:
        split = plinth.models.set_split(model, alias, weight=weight, mode="shadow" if shadow else "canary")
    if as_json:
        print_json(split)
        return
    print_split(split)
    print_next_step(f"plinth models traffic {split.model}@{alias}")


@app.command("traffic")
def show_traffic(
    reference: Annotated[str, typer.Argument(help="Model and alias, like digits@production.", metavar="MODEL@ALIAS")],
    as_json: AsJson = False,
) -> None:
    """Show the figures of both versions of a split side by side."""
    from plinth.cli.render import print_next_step
    from plinth.cli.render_model import print_split

    name, _, alias = reference.partition("@")
    with connect() as plinth:
        split = plinth.models.get_split(name, alias or "production")
    if as_json:
        print_json(split)
        return
    print_split(split)
    print_next_step(f"plinth models alias {split.model}@{split.candidate.version} {split.alias}")


@app.command("unsplit")
def unsplit_model(
    reference: Annotated[str, typer.Argument(help="Model and alias, like digits@production.", metavar="MODEL@ALIAS")],
) -> None:
    """Send all requests to the version of the alias again."""
    from plinth.cli.render import console

    name, _, alias = reference.partition("@")
    with connect() as plinth:
        plinth.models.delete_split(name, alias or "production")
    console.print(f"All requests for {name}@{alias or 'production'} go to its version.")


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="A Hugging Face folder or a zip of one, a package, or an .onnx file.")],
    name: Annotated[str | None, typer.Option(help="Name of the model (default: that of the file).")] = None,
    task: Annotated[str | None, typer.Option(help="Task of an .onnx file.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Classes of an .onnx file in output order, separated by commas.")
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="License, as SPDX identifier (default: that of the card).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import a model that was trained elsewhere."""
    from plinth.cli.render import console, make_predict_command, print_next_step, transfer_bar

    label_list = [label.strip() for label in labels.split(",")] if labels else None
    with connect() as plinth:
        with transfer_bar("uploading", quiet=as_json) as on_progress:
            job = plinth.models.import_(
                file, name=name, task=task, labels=label_list, license=license, on_progress=on_progress
            )
        job = plinth.jobs.wait(job.id)
        version = plinth.models.get(str(job.model))
        notes = plinth.jobs.report(job.id)["notes"]
    if as_json:
        print_json(job)
        return
    for note in notes:
        console.print(f"- {note}", soft_wrap=True, markup=False)
    console.print(f"Imported {job.model}.")
    print_next_step(f"plinth models show {job.model}", make_predict_command(job.model, version.task))


@app.command("download")
def download_model(
    model: ModelReference,
    to: Annotated[Path, typer.Option(help="Folder or file name to save to.")] = Path(),
    file: Annotated[str | None, typer.Option(help="Download only this file of the package.")] = None,
    format: Annotated[
        str | None, typer.Option(help="Export to a format of another library: huggingface, onnx.")
    ] = None,
) -> None:
    """Download the package of a model as a zip."""
    from plinth.cli.render import console, transfer_bar

    with connect() as plinth:
        if format is not None:
            plinth.jobs.wait(plinth.jobs.export(model, format=format).id)
        with transfer_bar("downloading") as on_progress:
            path = plinth.models.download(
                model, to, file=file, format=format, on_progress=lambda received: on_progress(received, None)
            )
    console.print(str(path), soft_wrap=True)


@app.command("delete")
def delete_model(model: ModelReference, yes: Yes = False) -> None:
    """Delete a version (name@3), or with the bare name all versions."""
    from plinth.cli.render import console

    with connect() as plinth:
        description = _describe(plinth, model)
        confirm(f"Delete {description}?", yes=yes)
        plinth.models.delete(model)
    console.print(f"Deleted {description}.", soft_wrap=True)


def _describe(plinth: Plinth, reference: str) -> str:
    """Name what a deletion takes, with its size and its aliases."""
    from plinth.cli.render import format_size

    name, _, selector = reference.partition("@")
    versions = [plinth.models.get(reference)] if selector else plinth.models.versions(name)
    references = [
        f"{version.name}@{version.version}" + (f" (alias {', '.join(version.aliases)})" if version.aliases else "")
        for version in versions
    ]
    size = format_size(sum(version.bytes for version in versions))
    count = f"all {len(versions)} versions: " if len(versions) > 1 else ""
    return f"{count}{', '.join(references)} ({size})"
