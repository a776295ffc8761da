"""Base class of encoders, which turn raw values into arrays and back."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
from pydantic import ValidationError

from ml.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    from ml.config import Config
    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows
    from ml.signals import Signal

Raw = TypeVar("Raw")

#: One encoded column: an array [N, ...] if all rows have one shape, else N arrays.
Column = np.ndarray | Sequence[Any]


class Encoder(ABC, Generic[Raw]):
    """Converts raw values to arrays, with the same numpy code in training and serving.

    The state of an encoder is its `config` and files of its own; `save` writes both.
    """

    name: ClassVar[str]
    signal: ClassVar[Signal]
    config_type: ClassVar[type[Config]]
    #: Whether values may be longer than the network reads.
    can_truncate: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:  # the subclass's `config_type`
        self.config = config
        self._losses: Counter[str] = Counter()

    @classmethod
    @abstractmethod
    def learn(cls, values: Sequence[Raw], options: Mapping[str, Any]) -> Self:
        """Choose size, vocabulary and limits from the training split; `options` are set by the user."""

    @abstractmethod
    def encode(self, values: Sequence[Raw]) -> Column:
        """Encode to compact arrays, which stay in memory during training (an image stays uint8)."""

    @abstractmethod
    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """Collate rows into the signal of a backbone.

        Returns `{"signal": [B, ...]}`, with `"mask"` bool [B, T] if the signal is padded.
        """

    @abstractmethod
    def shape(self) -> dict[str, int]:
        """Return the sizes a backbone is built with.

        They are channels, height and width; vocabulary and length; or bins.
        """

    @classmethod
    def data_loss(cls, config: Any, summary: DatasetSummary) -> str | None:
        """Return in words what this config would lose of the dataset; None if nothing."""
        return None

    def reduction(self, summary: DatasetSummary) -> str | None:
        """Return in words how values are reduced, and the options to change it.

        None if they are not.
        """
        return None

    def is_very_long(self, value: Raw) -> bool:
        """Return whether `encode` reads the beginning of a value alone, whatever it has."""
        return False

    def split(self, value: Raw, *, has_windows: bool) -> Sequence[Raw]:
        """Return the windows of a long value, or the value itself, as `encode` reads them.

        With `has_windows` they cover the value, else there is one.
        """
        return [value]

    def truncation(self, value: Raw, encoded: np.ndarray) -> dict[str, Any]:
        """Return the fields of an output that say how much of a value was encoded.

        They are `truncated` and `windows` (see `ml.preprocessing.long_texts`), and none if all was encoded at once.
        """
        return {}

    def count_loss(self, reason: str, values: int) -> None:
        """Count `values` that could not be encoded whole, by reason."""
        if values:
            self._losses[reason] += values

    def pop_losses(self) -> dict[str, int]:
        """Return the counts of `count_loss` since the last call, by reason."""
        losses, self._losses = self._losses, Counter()
        return dict(losses)

    def save(self, directory: Path) -> None:
        """Write `encoder.json` (`{"name", "config"}`) and other files into an empty directory."""
        content = {"name": self.name, "config": self.config.model_dump(mode="json")}
        (directory / "encoder.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Load what `save` wrote; raises `PackageError`."""
        try:
            content = json.loads((directory / "encoder.json").read_bytes())
            return cls.restore(cls.config_type.model_validate(content["config"]), directory)
        except (OSError, ValueError, KeyError, TypeError, ValidationError, PackageError) as error:
            message = f"the encoder in {directory.name} cannot be read: {error}"
            raise PackageError(message, hint="Download or export the package again.") from error

    @classmethod
    def restore(cls, config: Any, directory: Path) -> Self:
        """Make an encoder from its config and the other files of `directory`."""
        return cls(config)


def encode_slots(encoders: Mapping[str, Encoder[Any]], columns: Mapping[str, str], rows: Rows) -> dict[str, Column]:
    """Encode the column of `rows` that each slot reads; `columns` maps slot to column."""
    return {slot: encoders[slot].encode(rows.columns[column]) for slot, column in columns.items()}


def collate_slots(encoders: Mapping[str, Encoder[Any]], columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
    """Collate each slot into its signal, and `{slot}_mask` if it is padded.

    Columns without an encoder are returned as arrays.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        if name not in encoders:
            arrays[name] = np.asarray(column)
            continue
        collated = encoders[name].collate(column)
        arrays[name] = collated["signal"]
        if "mask" in collated:
            arrays[f"{name}_mask"] = collated["mask"]
    return arrays


def take(columns: Mapping[str, Column], indices: np.ndarray) -> dict[str, Column]:
    """Select the rows at `indices`, in that order."""
    return {
        name: column[indices] if isinstance(column, np.ndarray) else [column[index] for index in indices]
        for name, column in columns.items()
    }
