"""A version of a model on the terminal: what it is, how good it was, what answers for it, and how that was proved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from plinth.cli.render import console, number, size, table, weaknesses

if TYPE_CHECKING:
    from plinth.client.types import Lineage, ModelVersion

MOST_LABELS_SHOWN = 20
DIFFERENCES = ("largest difference", "labels changed")


def version(found: ModelVersion) -> None:
    """All that a person would ask of it; what only programs want, checksums and the like, is left out."""
    aliases = f" ({', '.join(found.aliases)})" if found.aliases else ""
    made_of = f" by {', '.join(sorted(set(found.architecture.values())))}" if found.architecture else ""
    weight = f"{found.parameters:,} parameters, {size(found.bytes)}"
    console.print(f"[bold]{found.name}@{found.version}[/]{aliases}: {found.task or 'base'}{made_of}, {weight}")
    if found.labels:
        known = f": {', '.join(found.labels)}" if len(found.labels) <= MOST_LABELS_SHOWN else ""
        console.print(escape(f"{len(found.labels)} classes{known}"))
    if found.lineage:
        _came(found.lineage)
    if found.metrics:
        metrics = table("metric", "value")
        for name, value in found.metrics.items():
            metrics.add_row(escape(name), _known(value))
        console.print()
        console.print(metrics)
    weaknesses(found.warnings)
    if found.engine:
        has = "it has graphs, here beside their network"
        why = f"it has no graph ({found.engine_reason})" if found.engine_reason else has
        console.print(f"\nAnswers by [bold]{found.engine}[/]: {escape(why)}")
    if found.graphs:
        _proof(found.graphs)


def _came(lineage: Lineage) -> None:
    dataset = (lineage.dataset or {}).get("id")
    told = {"made by": lineage.job, "of the data": dataset, "starting from": lineage.parent}
    said = [f"{how} {what}" for how, what in told.items() if what]
    if said:
        console.print(", ".join(said))


def _proof(graphs: Mapping[str, Mapping[str, Any]]) -> None:
    """Each graph beside its network, and below it, once for all of them, what was tried to make them faster."""
    shown = table("graph", "served", "rows", "largest output", *DIFFERENCES)
    for name, graph in graphs.items():
        served = escape(", ".join(_served(graph)))
        parity = graph["parity"]
        if parity:
            shown.add_row(name, served, str(parity["rows"]), _known(parity["max_abs_output"]), *_differences(parity))
        else:
            shown.add_row(name, served, "[dim]came in alone[/]")
    console.print(shown)
    tried = _tried(graphs.values())
    if not tried:
        return
    shown = table("variant", "metric", "before", "after", "speed", *DIFFERENCES)
    for each in tried:
        judged = [each["metric"], number(each["before"]), number(each["after"]), f"{each['speedup']:.2f} x"]
        shown.add_row(each["name"], *judged, *_differences(each["parity"]))
    console.print("\nMade faster, beside the graphs as they were:")
    console.print(shown)
    for each in tried:
        verdict = "[green]served[/]" if each["served"] else "[yellow]left out[/]"
        console.print(f"{each['name']} is {verdict}: {escape(each['reason'])}")


def _served(graph: Mapping[str, Any]) -> list[str]:
    """The files that are run; a variant stands for the first of them."""
    first, *rest = [file for file in (graph["trunk"], graph["file"]) if file]
    return [(graph["variant"] or {}).get("file") or first, *rest]


def _tried(graphs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Graphs of one model are made faster together: the same verdict stands at each, with a file of its own."""
    told: list[Mapping[str, Any]] = []
    for graph in graphs:
        for variant in filter(None, (graph["variant"], *graph["other_variants"])):
            verdict = {**variant, "file": None}
            if verdict not in told:
                told.append(verdict)
    return told


def _differences(parity: Mapping[str, Any]) -> list[str]:
    return [_known(parity["max_abs_difference"]), _known(parity["labels_changed"])]


def _known(value: float | None) -> str:
    return "" if value is None else number(value)
