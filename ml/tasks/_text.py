"""Base class of the tasks that read one text and predict one target for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot
from ml.tasks.base import MODEL, Task
from ml.wire import LongTextInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


#: Training rows below which texts are read by whole words.
FEW_ROWS: Final = 2_000


class TextTask(Task):
    """Reads a text of any length.

    Among the bases of a task it precedes the class with the target.
    """

    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(
            reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.POOLED}), default_architecture="text_cnn"
        )
    }
    encoded_columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text"}
    input_type = LongTextInput
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("text", "text_mask")}
    recipe = Schedule(epochs=4, max_steps=1_500)
    #: Column of the target.
    target: ClassVar[str]

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read whole words in lower case if there are few texts, however rare they are."""
        are_few = summary.splits.get("train", 0) < FEW_ROWS
        return {"text": {"prefers_words": True}} if are_few else {}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Read the text, and how one is read that is too long."""
        return self.input_type.of(raw_input, parameters=parameters).columns("text")

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[LongTextInput, Any]:
        """Return the text, and the target."""
        return LongTextInput(text=row["text"]), row.get(cls.target)

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Evaluate the target; errors include the text as the network read it."""
        evaluation = super().evaluate(outputs, columns, train=train)  # type: ignore[safe-super]  # of the class with the target
        encoder: Any = self.slot_encoders["text"]
        for error in evaluation.extra["errors"]:
            error["text"] = encoder.decode(columns["text"][error["index"]])
        return evaluation
