"""`plinth catalog`: what can be trained, and with which options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from plinth.cli.commands import completion
from plinth.cli.commands.context import AsJson, connect, print_json

#: Sections that a user names in a command; heads follow from the task.
SECTIONS = ("tasks", "architectures", "objectives", "tunings", "attacks", "strategies", "formats")


def catalog(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="A section (tasks, architectures, objectives, tunings, attacks, strategies, formats) or names.",
            metavar="NAME",
            autocompletion=completion.catalog_names,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what can be trained, with what and how; or show entries with their options."""
    with connect() as plinth:
        document = plinth.catalog()
    if not names:
        selected = {section: document[section] for section in SECTIONS}
        if as_json:
            print_json(dict(document))
        else:
            _print_sections(selected)
        return
    for name in names:
        _show(document, name, as_json=as_json)


def _show(document: Mapping[str, Any], name: str, *, as_json: bool) -> None:
    if name in document:
        if as_json:
            print_json({name: document[name]})
        else:
            _print_sections({name: document[name]})
        return
    matches = [(section, entries[name]) for section, entries in document.items() if name in entries]
    if not matches:
        _reject(document, name)
    for section, entry in matches:
        if as_json:
            print_json(entry)
        else:
            _print_entry(section, entry)


def _reject(document: Mapping[str, Any], name: str) -> None:
    from difflib import get_close_matches

    from plinth.client.errors import PlinthError

    names = [*document, *(entry for entries in document.values() for entry in entries)]
    close = get_close_matches(name, names, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else "`plinth catalog` lists all."
    raise PlinthError(f"The catalog has no {name!r}. {hint}")


def _print_sections(sections: Mapping[str, Any]) -> None:
    from plinth.cli.render import console, make_table, print_next_step

    for section, entries in sections.items():
        table = make_table(section, "", ids=list(entries))
        for name, entry in entries.items():
            table.add_row(name, entry.get("summary", ""))
        console.print(table)
        console.print()
    print_next_step("plinth catalog NAME")


def _print_entry(section: str, entry: Mapping[str, Any]) -> None:
    from rich.markup import escape

    from plinth.cli.render import console, make_table

    console.print(f"[bold]{escape(entry['name'])}[/] ({section}): {escape(entry.get('summary', ''))}", soft_wrap=True)
    for field in ("source", "default_architecture", "head", "formats", "unfit", "exports"):
        if value := entry.get(field):
            console.print(f"[dim]{field.replace('_', ' ')}:[/] {escape(_to_text(value))}", soft_wrap=True)
    for title in ("columns", "slots", "metrics", "presets"):
        rows = entry.get(title) or {}
        if isinstance(rows, Mapping) and rows:
            table = make_table(title, "", ids=list(rows))
            for name, value in rows.items():
                table.add_row(escape(name), escape(_to_text(value)))
            console.print(table)
    _print_options((entry.get("config_schema") or {}).get("properties") or {})


def _print_options(options: Mapping[str, Any]) -> None:
    from rich.markup import escape

    from plinth.cli.render import console, make_table

    if not options:
        return
    table = make_table("option", "default", "", ids=list(options))
    for name, option in options.items():
        choices = ", ".join(map(str, option.get("enum", ())))
        text = " ".join(filter(None, (option.get("description", ""), f"One of: {choices}." if choices else "")))
        table.add_row(escape(name), escape(_to_text(option.get("default"))), escape(text))
    console.print(table)


def _to_text(value: Any) -> str:
    if isinstance(value, Mapping):
        if "summary" in value:
            return str(value["summary"])
        return ", ".join(f"{name} {_to_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
