"""Folders that tests and benchmarks read: this checkout, and the data sets that lie beside it."""

from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
SHARED_DATA: Final = REPOSITORY / ".." / "shared" / "data"
"""Small public data sets, never copied into the repository; what needs them is skipped where they are absent."""
