"""Folders that tests and benchmarks read: this checkout, and shared data."""

from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
#: Small public datasets, never copied into the repository; what needs them is skipped where they are absent.
SHARED_DATA: Final = REPOSITORY / ".." / "shared" / "data"
#: Small inputs of public bug reports, each a script that exits 0 when the service does the right thing.
SHARED_CASES: Final = REPOSITORY / ".." / "shared" / "cases"
