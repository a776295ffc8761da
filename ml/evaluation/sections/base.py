"""Base class of the sections of an evaluation report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ml.evaluation.evaluated_rows import EvaluatedRows


class Section(ABC):
    """One field of the report, beside the metrics and what the task reports itself."""

    #: Name of the field.
    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def measure(self, evaluated: EvaluatedRows) -> Any:
        """Return the content of the field as JSON; None leaves it out."""
