"""Scratch folder of one run, written by its child process and removed by the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.settings import store_settings

if TYPE_CHECKING:
    from pathlib import Path


def run_folder(job_id: str, fence: int) -> Path:
    """Return the scratch folder of one run; files worth keeping are published from it."""
    return store_settings().home / "runs" / job_id / str(fence)
