"""Public names and type marker of the `plinth` package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import plinth
from plinth.client import errors


def test_every_error_of_the_client_can_be_imported_from_the_package() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }
    assert defined == set(plinth.__all__) - {"Plinth"}
    for name in plinth.__all__:
        assert getattr(plinth, name).__name__ == name


def test_the_wheel_marks_the_client_as_typed(tmp_path: Path) -> None:
    root = Path(plinth.__file__).parents[1]
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path), str(root)]
    subprocess.run(build, check=True, timeout=150)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert "plinth/py.typed" in archive.namelist()
