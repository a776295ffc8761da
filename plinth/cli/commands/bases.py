"""`plinth bases`: list base models, and make the small ones that Plinth has recipes for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from plinth.cli.commands.context import AsJson, DatasetReference, connect, print_json, resolve_dataset
from plinth.cli.commands.train import BASE_SUFFIX, start
from plinth.cli.plain_help import PlainTyper

app = PlainTyper(help="List base models, and make small ones.", invoke_without_command=True)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Recipe of a base model from data that come with Plinth."""

    summary: str
    write: Callable[[Path], Path]
    task: str
    spec: Mapping[str, Any]


def _write_digits(folder: Path) -> Path:
    from plinth.cli.demo import write_digits

    return write_digits(folder)[0]


RECIPES: Mapping[str, Recipe] = {
    "digits": Recipe(
        summary="Small gray images: 1,797 handwritten digits of scikit-learn, in ten seconds.",
        write=_write_digits,
        task="image_classification",
        spec={
            "objective": "contrastive_views",
            "architecture": "cnn",
            "schedule": {"epochs": 8, "batch_size": 128},
        },
    )
}


@app.command("list")
@app.callback()
def list_bases(context: typer.Context, as_json: AsJson = False) -> None:
    """List base models, which a fine-tuning can start from."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        bases = [model for model in plinth.models.list(limit=None) if model.task is None]
    if as_json:
        print_json(bases)
        return
    table = render.make_table("base", "version", "updated", ids=[base.name for base in bases])
    for base in bases:
        table.add_row(base.name, str(base.latest_version), render.format_age(base.updated_at))
    render.console.print(table)
    for name, recipe in RECIPES.items():
        render.console.print(f"[dim]recipe[/] {name}: {recipe.summary}", soft_wrap=True)
    if bases:
        render.print_next_step(f"plinth train DATASET --from {bases[0].name}")
    else:
        render.print_next_step(*(f"plinth bases make {name}" for name in RECIPES))


@app.command("recommend")
def recommend_base(
    dataset: DatasetReference,
    task: Annotated[str | None, typer.Option(help="Task to start for (default: that of the dataset).")] = None,
    bases: Annotated[
        list[str] | None,
        typer.Option("--base", help="Model to compare; repeatable (default: all base models that fit)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rank base models for a dataset, by a linear classifier on their features."""
    from plinth.cli import render

    with connect() as plinth:
        job = plinth.jobs.recommend_base(resolve_dataset(plinth, dataset), task=task, bases=bases)
        plinth.jobs.wait(job.id)
        report = plinth.jobs.report(job.id)
    if as_json:
        print_json(report)
        return
    table = render.make_table(
        "base", "accuracy", "95 % interval", "seconds", ids=[row["base"] for row in report["bases"]]
    )
    for row in report["bases"]:
        low, high = row["interval"]
        table.add_row(row["base"], f"{row['accuracy']:.3f}", f"{low:.3f} to {high:.3f}", f"{row['seconds']:.1f}")
    render.console.print(table)
    most_frequent = report["baseline"]["accuracy"]
    rows = f"{report['folds']} folds of {report['rows']} rows"
    render.console.print(f"[dim]{rows}; most frequent class {most_frequent:.3f}.[/]")
    render.print_next_step(f"plinth train {dataset} --from {report['bases'][0]['base']}")


@app.command("make")
def make_base(
    recipe: Annotated[str, typer.Argument(help=f"Recipe: {', '.join(RECIPES)}.", metavar="RECIPE")],
    model: Annotated[str | None, typer.Option(help="Name of the base model (default: RECIPE-base).")] = None,
    as_json: AsJson = False,
) -> None:
    """Upload the data of a recipe, and pretrain a base model on them."""
    if recipe not in RECIPES:
        raise typer.BadParameter(f"no recipe {recipe!r}; known: {', '.join(RECIPES)}", param_hint="RECIPE")
    chosen = RECIPES[recipe]
    with connect() as plinth, tempfile.TemporaryDirectory() as folder:
        dataset = plinth.datasets.upload(chosen.write(Path(folder)), name=f"{recipe}{BASE_SUFFIX}", task=chosen.task)
        dataset = plinth.datasets.wait(dataset.id)
        spec = {
            "kind": "pretrain",
            "dataset": f"{dataset.name}@{dataset.version}",
            "model": model or f"{recipe}{BASE_SUFFIX}",
            **chosen.spec,
        }
        start(plinth, plinth.jobs.submit(spec), detach=False, as_json=as_json)
