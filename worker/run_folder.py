"""Scratch folders of runs: `$PLINTH_HOME/runs/JOB/FENCE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.settings import store_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def run_folder(job_id: str, fence: int) -> Path:
    """Return the scratch folder of one run; results are published from here to the blobs."""
    return _root() / job_id / str(fence)


def all_run_folders() -> Iterator[Path]:
    """Yield every run's scratch folder on this machine, also those of ended runs."""
    yield from _root().glob("job_*/*")


def _root() -> Path:
    return store_settings().home / "runs"
