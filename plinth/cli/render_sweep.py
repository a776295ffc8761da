"""Prints the trials of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from plinth.cli.render import console, format_number, make_table, print_evaluation
from plinth.cli.render_evaluation import print_recommendations


def print_report(report: Mapping[str, Any]) -> None:
    """Print an evaluation, examples of recommendations, and the trials of a sweep."""
    print_evaluation(report)
    print_recommendations(report.get("recommendations") or ())
    if report.get("sweep"):
        print_sweep(report["sweep"])


def print_sweep(section: Mapping[str, Any]) -> None:
    """Print the trials, the best first, and the importance of settings."""
    metric, trials = str(section.get("metric") or "value"), section.get("trials") or ()
    table = make_table("trial", metric, "state", "CPU s", "settings")
    sign = -1 if section.get("higher_is_better") else 1
    infinity = float("inf")
    for line in sorted(trials, key=lambda item: infinity if item["value"] is None else sign * item["value"]):
        value = "" if line["value"] is None else format_number(line["value"])
        number = f"[bold]{line['number']}[/]" if line["number"] == section.get("best") else str(line["number"])
        seconds = "" if line.get("cpu_seconds") is None else f"{line['cpu_seconds']:.0f}"
        settings = line.get("error") or format_settings(line.get("parameters") or {})
        default = " (the default recipe)" if line["number"] == 0 else ""
        table.add_row(number, value, line["outcome"], seconds, escape(settings) + default)
    console.print("\nTrials, by their metric on the validation split")
    console.print(table)
    fractions = (section.get("importance") or {}).get("fractions") or {}
    if fractions:
        shown = ", ".join(f"{path} {fraction:.0%}" for path, fraction in fractions.items())
        console.print(f"[dim]importance:[/] {escape(shown)}", soft_wrap=True)


def format_settings(parameters: Mapping[str, Any]) -> str:
    """Format settings by path."""
    return ", ".join(f"{path} = {format_number(value)}" for path, value in parameters.items())
