import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import REPOSITORY
from tests.tools.conftest import Plant

_IMPORT_OF_B = {
    "at load time": "from rooms.b import B\n",
    "for type checkers": (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from rooms.b import B\n"
    ),
    "inside a function": "def read():\n    from rooms.b import B\n",
}


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "tools.check_imports", *arguments, "rooms"]
    return subprocess.run(command, cwd=root, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True)


@pytest.mark.parametrize("kind", _IMPORT_OF_B)
def test_a_cycle_is_reported_at_the_import_that_opens_it(plant: Plant, tmp_path: Path, kind: str) -> None:
    plant({"rooms/__init__.py": "", "rooms/a.py": _IMPORT_OF_B[kind], "rooms/b.py": "B = 1\n"})
    assert _run(tmp_path).returncode == 0
    plant({"rooms/b.py": "import rooms.c\n", "rooms/c.py": "import rooms.a\n"})
    done = _run(tmp_path)
    line = _IMPORT_OF_B[kind].count("\n")
    cycle = "rooms.a -> rooms.b -> rooms.c -> rooms.a"
    assert (done.returncode, done.stdout) == (1, f"rooms/a.py:{line}: import cycle: {cycle}\n")


def test_figures_count_cycles_without_and_with_type_only_imports(plant: Plant, tmp_path: Path) -> None:
    plant({"rooms/__init__.py": "", "rooms/a.py": _IMPORT_OF_B["for type checkers"], "rooms/b.py": "import rooms.a\n"})
    done = _run(tmp_path, "--figures")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "   0 cycles at load time (3 modules, 1 imports)",
        "   1 cycles with type-only imports (3 modules, 2 imports)",
    ]
