"""Terminal output of a model version: metrics, engine and parity of its graphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from plinth.cli.render import console, format_number, format_size, make_table, print_licenses, print_warnings

if TYPE_CHECKING:
    from plinth.client.types import Lineage, ModelVersion, TrafficSplit

MAX_LABELS_SHOWN = 20
DIFFERENCES = ("largest difference", "labels changed")


def print_version(version: ModelVersion) -> None:
    """Print a version for people; checksums and other data for programs are left out."""
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    architecture = f" by {', '.join(sorted(set(version.architecture.values())))}" if version.architecture else ""
    size = f"{version.parameters:,} parameters, {format_size(version.bytes)}"
    console.print(f"[bold]{version.name}@{version.version}[/]{aliases}: {version.task or 'base'}{architecture}, {size}")
    if version.labels:
        labels = f": {', '.join(version.labels)}" if len(version.labels) <= MAX_LABELS_SHOWN else ""
        console.print(escape(f"{len(version.labels)} classes{labels}"))
    if version.lineage:
        _print_lineage(version.lineage)
    print_licenses(version.licenses)
    if version.metrics:
        metrics = make_table("metric", "value")
        for name, value in version.metrics.items():
            metrics.add_row(escape(name), _format_optional(value))
        console.print()
        console.print(metrics)
    print_warnings(version.warnings)
    if version.engine:
        with_graphs = "the package has ONNX graphs, compared with their network below"
        reason = f"the package has no ONNX graph ({version.engine_reason})" if version.engine_reason else with_graphs
        console.print(f"\nRuns on [bold]{version.engine}[/]: {escape(reason)}")
    if version.graphs:
        _print_parity(version.graphs)


def print_split(split: TrafficSplit) -> None:
    """Print the figures of both versions of a split side by side."""
    current, candidate = split.current, split.candidate
    agreement = "" if split.agreement is None else f"; same label for {split.agreement:.1%}"
    console.print(
        f"{split.model}@{split.alias}, {split.mode}: version {candidate.version} gets {split.weight:.0%}{agreement}"
    )
    table = make_table("", f"version {current.version}", f"candidate {candidate.version}")
    for title, name in (("requests", "requests"), ("errors", "errors"), ("mean confidence", "mean_confidence")):
        table.add_row(title, *(_format_optional(getattr(version, name)) for version in (current, candidate)))
    for quantile in ("p50", "p99"):
        seconds = (version.latency_seconds.get(quantile) for version in (current, candidate))
        table.add_row(f"{quantile} seconds", *map(_format_optional, seconds))
    labels = list({**current.classes, **candidate.classes})
    for label in labels[:MAX_LABELS_SHOWN]:
        fractions = (f"{version.classes.get(label, 0):.1%}" for version in (current, candidate))
        table.add_row(escape(label), *fractions)
    console.print(table)


def _print_lineage(lineage: Lineage) -> None:
    dataset = (lineage.dataset or {}).get("id")
    origins = {"created by": lineage.job, "from dataset": dataset, "starting from": lineage.parent}
    parts = [f"{relation} {origin}" for relation, origin in origins.items() if origin]
    if parts:
        console.print(", ".join(parts))


def _print_parity(graphs: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the parity of the graphs with their network, and the optimized variants."""
    table = make_table("graph", "served", "rows", "largest output", *DIFFERENCES)
    for name, graph in graphs.items():
        files = escape(", ".join(_list_served_files(graph)))
        parity = graph["parity"]
        if parity:
            largest_output = _format_optional(parity["max_abs_output"])
            table.add_row(name, files, str(parity["rows"]), largest_output, *_format_differences(parity))
        else:
            table.add_row(name, files, "[dim]not compared (imported graph)[/]")
    console.print(table)
    variants = _list_variants(graphs.values())
    if not variants:
        return
    table = make_table("variant", "metric", "before", "after", "speed", *DIFFERENCES)
    for variant in variants:
        before, after = format_number(variant["before"]), format_number(variant["after"])
        comparison = [variant["metric"], before, after, f"{variant['speedup']:.2f} x"]
        table.add_row(variant["name"], *comparison, *_format_differences(variant["parity"]))
    console.print("\nOptimized variants, compared with the original graphs:")
    console.print(table)
    for variant in variants:
        verdict = "[green]served[/]" if variant["served"] else "[yellow]not served[/]"
        console.print(f"{variant['name']} is {verdict}: {escape(variant['reason'])}")


def _list_served_files(graph: Mapping[str, Any]) -> list[str]:
    """List the files that are run; a served variant replaces the first of them."""
    first_file, *more_files = [file for file in (graph["trunk"], graph["file"]) if file]
    return [(graph["variant"] or {}).get("file") or first_file, *more_files]


def _list_variants(graphs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """List the variants of all graphs without repetitions.

    The graphs of one model are optimized together, so they all have the same variant, apart from its file.
    """
    variants: list[Mapping[str, Any]] = []
    for graph in graphs:
        for graph_variant in filter(None, (graph["variant"], *graph["other_variants"])):
            variant = {**graph_variant, "file": None}
            if variant not in variants:
                variants.append(variant)
    return variants


def _format_differences(parity: Mapping[str, Any]) -> list[str]:
    return [_format_optional(parity["max_abs_difference"]), _format_optional(parity["labels_changed"])]


def _format_optional(value: float | None) -> str:
    return "" if value is None else format_number(value)
