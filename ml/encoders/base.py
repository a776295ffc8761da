"""What an encoder promises: a raw value becomes an array and back; its vocabulary travels with the backbone."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
from pydantic import ValidationError

from ml.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from ml.config import Config
    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows
    from ml.signals import Signal

Raw = TypeVar("Raw")

Column = np.ndarray | list[Any]
"""One encoded column: an array [N, ...] where all rows have one shape, else a list of N arrays."""


class Encoder(ABC, Generic[Raw]):
    """Raw value <-> array. Pure numpy, so that training and serving run the very same code.

    `config` is all there is to an encoder besides files of its own; both are written by `save`.
    """

    name: ClassVar[str]
    signal: ClassVar[Signal]
    config_type: ClassVar[type[Config]]

    def __init__(self, config: Any) -> None:  # the subclass's `config_type`
        self.config = config
        self._lost: Counter[str] = Counter()

    @classmethod
    @abstractmethod
    def learn(cls, values: Sequence[Raw], asked: Mapping[str, Any]) -> Self:
        """Choose size, vocabulary and limits from the training split; `asked` is what the user fixed."""

    @abstractmethod
    def encode(self, values: Sequence[Raw]) -> Column:
        """Compact arrays, as kept in memory during training (an image stays uint8)."""

    @abstractmethod
    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """The signal as the backbone reads it: `{"signal": [B, ...]}`, and `{"mask": bool [B, T]}` where padded."""

    @abstractmethod
    def shape(self) -> dict[str, int]:
        """What a backbone must know to be built: channels, height, width; or vocabulary, length; or bins."""

    @classmethod
    def loses(cls, config: Any, summary: DatasetSummary) -> str | None:
        """What reading this dataset with this config would throw away that matters; None when nothing."""
        return None

    def lose(self, what: str, values: int) -> None:
        """Note, while encoding, that so many values could not be kept whole, and what became of them."""
        if values:
            self._lost[what] += values

    def lost(self) -> dict[str, int]:
        """What was noted since this was last asked: what became of values -> how many."""
        lost, self._lost = self._lost, Counter()
        return dict(lost)

    def save(self, directory: Path) -> None:
        """Write `encoder.json` (`{"name", "config"}`), and files of its own, into an empty directory."""
        content = {"name": self.name, "config": self.config.model_dump(mode="json")}
        (directory / "encoder.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote; raises `PackageError`."""
        try:
            content = json.loads((directory / "encoder.json").read_bytes())
            return cls.restore(cls.config_type.model_validate(content["config"]), directory)
        except (OSError, ValueError, KeyError, TypeError, ValidationError, PackageError) as error:
            raise PackageError(f"the encoder in {directory.name} cannot be read: {error}") from error

    @classmethod
    def restore(cls, config: Any, directory: Path) -> Self:
        """From a config that was read, and from what else `save` put beside it."""
        return cls(config)


def encode_slots(encoders: Mapping[str, Encoder[Any]], columns: Mapping[str, str], rows: Rows) -> dict[str, Column]:
    """Compact arrays by slot; `columns` says which column of `rows` a slot reads."""
    return {slot: encoders[slot].encode(rows.columns[column]) for slot, column in columns.items()}


def collate_slots(encoders: Mapping[str, Encoder[Any]], columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
    """Each slot's signal under its name and its mask under `{slot}_mask`; what no encoder made, as it is."""
    arrays: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        if name not in encoders:
            arrays[name] = np.asarray(column)
            continue
        read = encoders[name].collate(column)
        arrays[name] = read["signal"]
        if "mask" in read:
            arrays[f"{name}_mask"] = read["mask"]
    return arrays


def take(columns: Mapping[str, Column], indices: np.ndarray) -> dict[str, Column]:
    """The rows at `indices`, in that order."""
    return {
        name: column[indices] if isinstance(column, np.ndarray) else [column[index] for index in indices]
        for name, column in columns.items()
    }
