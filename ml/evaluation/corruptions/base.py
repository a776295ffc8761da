"""Base class of corruptions, at three levels (Hendrycks & Dietterich 2019, arXiv:1903.12261)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    import numpy as np

    from ml.data.rows import Row

LEVELS: Final = (1, 2, 3)


class Corruption(ABC):
    """A change of values of one column type, in three levels."""

    name: ClassVar[str]
    summary: ClassVar[str]
    #: Type of the columns that it changes.
    column_type: ClassVar[str]
    #: Amount at each level, in the unit of the summary.
    amounts: ClassVar[tuple[float, float, float]]
    #: Whether objects of an image stay where they are.
    keeps_places: ClassVar[bool] = True

    def corrupt_row(self, row: Row, column: str, amount: float, rng: np.random.Generator) -> Row:
        """Return a row with one column changed."""
        return {**row, column: self.corrupt(row[column], amount, rng)}

    @abstractmethod
    def corrupt(self, value: Any, amount: float, rng: np.random.Generator) -> Any:
        """Return a changed copy of a raw value, of the same type."""
