"""Problem documents: the next step of each kind of error."""

from __future__ import annotations

import ast
from pathlib import Path

from app.http.errors import NOT_FOUND_HINTS, to_problem_error
from store.errors import NotFound
from tests.support.repository import REPOSITORY

#: Kinds that no client names.
INTERNAL = {"blob"}


def kinds_of(file: Path) -> set[str]:
    """Return the kinds of rows that a module reports as missing."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    names = [call.args[0] for call in calls if ast.unparse(call.func) == "NotFound" and call.args]
    return {str(name.value) for name in names if isinstance(name, ast.Constant)}


def test_every_kind_of_row_that_can_be_missing_has_a_next_step() -> None:
    files = [file for room in ("app", "store") for file in (REPOSITORY / room).rglob("*.py")]
    kinds = set().union(*map(kinds_of, files)) - INTERNAL
    assert kinds == NOT_FOUND_HINTS.keys()
    assert str(to_problem_error(NotFound("watch", "digits")).detail).endswith("PUT to the same path creates one.")
