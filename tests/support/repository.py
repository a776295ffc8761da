"""Folders that tests and benchmarks read: this checkout, and shared data."""

from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
#: Small public data sets, never copied into the repository; what needs them is skipped where they are absent.
SHARED_DATA: Final = REPOSITORY / ".." / "shared" / "data"
