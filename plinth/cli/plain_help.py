"""Help pages and errors in plain words, for `<list[Path]>` and `Value error`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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

#: Words that pydantic sets before the message of a validator.
PYDANTIC_PREFIX: Final = "Value error, "


class PlainCommand(TyperCommand):
    """A command whose help page has plain words for types."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, which show plain words for their types."""
        return _simplify_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; an invalid one is refused in plain words."""
        with _plain_errors():
            return super().parse_args(ctx, args)


class PlainGroup(TyperGroup):
    """A group of commands whose help page has plain words for types."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, which show plain words for their types."""
        return _simplify_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; an invalid one is refused in plain words."""
        with _plain_errors():
            return super().parse_args(ctx, args)


class PlainTyper(typer.Typer):
    """Typer whose commands and groups have plain help pages."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"cls": PlainGroup, **options})

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Register a command, as `typer.Typer.command` does."""
        return super().command(name, **{"cls": PlainCommand, **options})


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Take the words of pydantic, by which typer checks values, out of errors."""
    try:
        yield
    except typer.BadParameter as error:
        error.message = error.message.replace(PYDANTIC_PREFIX, "")
        raise


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
