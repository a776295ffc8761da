"""A small tree of files on which a check of `tools` runs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

Plant = Callable[[Mapping[str, str]], None]


class RunCheck(Protocol):
    """Plants files, runs the main function of a check and returns the printed lines.

    The exit status is asserted: 1 where there are lines, else 0.
    """

    def __call__(
        self, main: Callable[[Sequence[str]], int], files: Mapping[str, str], *arguments: str
    ) -> list[str]: ...


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Writes files into an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)

    def write(files: Mapping[str, str]) -> None:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return write


@pytest.fixture
def run_check(plant: Plant, capsys: pytest.CaptureFixture[str]) -> RunCheck:
    def run(main: Callable[[Sequence[str]], int], files: Mapping[str, str], *arguments: str) -> list[str]:
        plant(files)
        status = main(arguments)
        lines = capsys.readouterr().out.splitlines()
        assert status == (1 if lines else 0)
        return lines

    return run
