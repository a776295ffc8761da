"""What an encoder promises: a raw value becomes an array and back; its vocabulary travels with the backbone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from ml.config import Config
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

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write `encoder.json` (`{"name", "config"}`) and files of its own into an empty directory."""

    @classmethod
    @abstractmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote; raises `PackageError`."""
