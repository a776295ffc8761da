"""`plinth catalog`: sections, entries with options, and names that do not exist."""

import pytest

from ml.spec.catalog import Catalog
from tests.plinth.cli.commands.conftest import Run

pytestmark = pytest.mark.process


def test_everything_that_can_be_named_is_listed(plinth_command: Run) -> None:
    catalog, listed = Catalog.load(), plinth_command("catalog").stdout
    for section in ("tasks", "architectures", "objectives", "tunings", "attacks", "formats"):
        for name in getattr(catalog, section):
            assert f"\n{name} " in listed, name


def test_an_entry_is_shown_with_its_options_and_their_defaults(plinth_command: Run) -> None:
    shown = plinth_command("catalog", "lora").stdout
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith(("rank", "alpha"))] == [
        ["rank", "8"],
        ["alpha", "16.0"],
    ]
    assert "macro_f1" in plinth_command("catalog", "text_classification").stdout
    assert "minilm" in plinth_command("catalog", "bert").stdout


def test_a_name_that_does_not_exist_suggests_one_that_does(plinth_command: Run) -> None:
    failed = plinth_command("catalog", "loraa")
    assert failed.returncode == 1
    assert "Did you mean 'lora'?" in failed.stderr
