"""A folder is complete or absent, whatever interrupts its writer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ml.atomic_directory import atomic_directory

WRITER = """
import sys
from pathlib import Path
from ml.atomic_directory import atomic_directory
for number in range(1_000_000):
    with atomic_directory(Path(sys.argv[1]), replace=True) as folder:
        for name in ("a", "b", "c"):
            (folder / name).write_text(str(number))
    print(number, flush=True)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_when_its_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "parent" / "target"
    with atomic_directory(target) as folder:
        (folder / "nested").mkdir()
        (folder / "nested" / "file").write_text("content")
        assert not target.exists()
    assert (target / "nested" / "file").read_text() == "content"
    assert names(target.parent) == ["target"], "the scratch folder is gone"


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_directory(tmp_path / "target") as folder:
            (folder / "half").write_text("written")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(tmp_path) == []


def test_an_existing_folder_is_replaced_only_on_request(tmp_path: Path) -> None:
    def write(content: str, *, replace: bool) -> None:
        with atomic_directory(tmp_path / "target", replace=replace) as folder:
            (folder / content).touch()

    write("first", replace=False)
    with pytest.raises(OSError, match="not empty"):
        write("second", replace=False)
    assert names(tmp_path / "target") == ["first"]
    write("third", replace=True)
    assert names(tmp_path / "target") == ["third"]


def test_a_killed_writer_leaves_the_folder_complete_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "target"
    command = [sys.executable, "-c", WRITER, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.kill()
    if target.exists():
        assert names(target) == ["a", "b", "c"]
        assert len({path.read_text() for path in target.iterdir()}) == 1
