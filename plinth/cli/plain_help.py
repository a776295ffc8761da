"""Help pages with plain words for the types of options, where typer shows `<list[Path]>`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

#: Type as typer shows it -> word for it. A flag has none.
WORDS: Final = {
    "<bool>": "",
    "<str>": "TEXT",
    "<list[str]>": "TEXT",
    "<path>": "PATH",
    "<file>": "FILE",
    "<int>": "NUMBER",
    "<int range>": "NUMBER",
    "<float>": "NUMBER",
    "<float range>": "NUMBER",
}


class PlainCommand(TyperCommand):
    """A command whose help page has plain words for types."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, which show plain words for their types."""
        return _simplify_types(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """A group of commands whose help page has plain words for types."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, which show plain words for their types."""
        return _simplify_types(super().get_params(ctx))


class PlainTyper(typer.Typer):
    """Typer whose commands and groups have plain help pages."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"cls": PlainGroup, **options})

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Register a command, as `typer.Typer.command` does."""
        return super().command(name, **{"cls": PlainCommand, **options})


def _simplify_types(parameters: Sequence[Any]) -> list[Any]:
    """Replace what each parameter shows as its type; an argument shows its name alone."""
    for parameter in parameters:
        show = type(parameter).display_type_rich
        is_argument = parameter.param_type_name == "argument"
        parameter.display_type_rich = _hide if is_argument else _make_plain(parameter, show)
    return list(parameters)


def _hide(ctx: Any) -> None:  # noqa: ARG001 - the signature of typer
    return None


def _make_plain(parameter: Any, show: Callable[..., str | None]) -> Callable[..., str | None]:
    def display_type(ctx: Any) -> str | None:
        shown = show(parameter, ctx=ctx) or ""
        return WORDS.get(shown, shown.removeprefix("<").removesuffix(">")) or None

    return display_type
