import json
import re
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field
from pydantic_settings import BaseSettings
from typing_extensions import Doc

from app.settings import AppSettings
from store.settings import StoreSettings
from tools import build_reference
from tools.build_reference import FOLDER, REPOSITORY, fields_of, pages
from worker.settings import WorkerSettings

PACKAGES = ("app", "migrations", "ml", "plinth", "store", "worker")
#: Variables that one process of ours sets for another; nobody else sets them.
INTERNAL = {"PLINTH_API_SOCKET", "PLINTH_CONTROL_CHANNEL", "PLINTH_PARENT_PIPE", "PLINTH_TETHER"}


class Documented(BaseSettings):
    #: A note
    #: of two lines.
    above: int = 2048
    beside: int = 1  #: A note beside.
    #: A note below.
    below: float = 1.0
    described: int = Field(1, ge=0, description="A description.")
    annotated: Annotated[int, Doc("A Doc.")] = 1
    size_bytes: int = Field(3 << 20, le=1 << 30)
    bare: int = 1


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return pages()


def test_the_pages_are_those_that_the_code_gives(written: dict[str, str]) -> None:
    stored = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}

    assert stored == written, "run: make reference"


@pytest.mark.parametrize("settings", [AppSettings, StoreSettings, WorkerSettings])
def test_every_setting_has_a_note(settings: type[BaseSettings]) -> None:
    assert [name for name, _, _, note in fields_of(settings) if not note] == []


def test_notes_are_read_from_wherever_they_stand() -> None:
    assert [(name, default, limits, note) for name, default, limits, note in fields_of(Documented)] == [
        ("above", "`2,048`", "", "A note of two lines."),
        ("beside", "`1`", "", "A note beside."),
        ("below", "`1`", "", "A note below."),
        ("described", "`1`", "at least 0", "A description."),
        ("annotated", "`1`", "", "A Doc."),
        ("size_bytes", "`3 MiB`", "at most 1 GiB", ""),
        ("bare", "`1`", "", ""),
    ]


def test_every_variable_that_the_code_reads_is_on_the_page_of_settings(written: dict[str, str]) -> None:
    sources = [path.read_text() for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")]
    variables = {name for text in sources for name in re.findall(r"\bPLINTH_[A-Z0-9_]+\b", text)}

    assert variables - INTERNAL - set(re.findall(r"`(PLINTH_\w+)`", written["settings.md"])) == set()


def test_everything_in_the_catalog_is_on_its_page(written: dict[str, str]) -> None:
    catalog = json.loads((REPOSITORY / "ml" / "spec" / "catalog.json").read_text())
    names = {
        name for group in ("tasks", "architectures", "objectives", "tunings", "formats") for name in catalog[group]
    }

    assert {name for name in names if f"| `{name}` |" not in written["catalog.md"]} == set()


def test_every_row_of_a_table_has_the_cells_of_its_head(written: dict[str, str]) -> None:
    for name, text in written.items():
        cells = 0
        for line in text.splitlines():
            if not line.startswith("|"):
                cells = 0
                continue
            here = len(re.findall(r"(?<!\\)\|", line))
            assert cells in (0, here), f"{name}: {line}"
            cells = here


def test_pages_of_before_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_reference, "FOLDER", tmp_path)
    (tmp_path / "old.md").write_text("old")

    monkeypatch.setattr(build_reference, "DECISIONS", tmp_path / "decisions")
    (tmp_path / "decisions").mkdir()

    build_reference.main()

    assert {path.name for path in tmp_path.glob("*.md")} == set(pages())
