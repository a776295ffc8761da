"""Paths inside the working folder of a training run.

Imports no torch, so that a worker can prepare the folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The working folder of a run, below `root`."""

    root: Path

    @property
    def own_checkpoints(self) -> Path:
        """Folder of the checkpoints that this run writes, one folder per step."""
        return self.root / "checkpoints"

    @property
    def fetched_checkpoints(self) -> Path:
        """Checkpoints of earlier runs of the job.

        Either one checkpoint itself, or a folder of checkpoints or of links to checkpoints, under any names.
        """
        return self.root / "checkpoint"

    @property
    def encoded_rows(self) -> Path:
        """Folder of encoded rows that no other run reads."""
        return self.root / "encoded"

    def size(self, size: float) -> Path:
        """Folder of the package of a nested size.

        It is moved into that of the model.
        """
        return self.root / "sizes" / f"{size:g}"

    def fold(self, number: int) -> Path:
        """Folder of the training without one part of the rows, which calibrates."""
        return self.root / "folds" / str(number)

    @property
    def package(self) -> Path:
        """Folder of the trained package."""
        return self.root / "package"
