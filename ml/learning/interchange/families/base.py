"""What a family promises: a folder of Hugging Face's becomes a backbone of ours with its encoder, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ml.config import Choice
    from ml.encoders.base import Encoder
    from ml.learning.nn.network import Network
    from ml.package.package import ModelPackage


@dataclass(slots=True)
class ImportedModel:
    """What a folder holds, in our words."""

    architecture: Choice
    encoder: Encoder[Any]
    backbone: dict[str, Tensor]
    """By the names of the architecture's `state_dict`."""
    head: dict[str, Tensor] = field(default_factory=dict)
    """Of the task's head, where the folder holds one that is wanted."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the task, which says how its head is built."""
    state: dict[str, Any] = field(default_factory=dict)
    """What the task would have learned of its data, beside the labels."""
    head_options: dict[str, Any] = field(default_factory=dict)
    """Of the head, where it is built otherwise than the task would have it."""
    dropped: list[str] = field(default_factory=list)
    """Tensors of the folder that have no place here."""
    notes: list[str] = field(default_factory=list)
    """What else its owner should know."""


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A folder for the library."""

    kind: str
    """The library's `AutoModel...` class that loads all of it."""
    notes: list[str] = field(default_factory=list)
    """What its user should know."""
    lacks: tuple[str, ...] = ()
    """Beginnings of the names of tensors that the class has and the model does without."""


class Family(ABC):
    """`name` is that of the architecture."""

    name: ClassVar[str]
    slot: ClassVar[str]
    """The slot that the architecture stands in, in every task of one slot."""
    model_types: ClassVar[frozenset[str]]
    """What `config.json` calls them."""
    files: ClassVar[tuple[str, ...]]
    """What is read beside `config.json` and the weights, where it is there."""
    tasks: ClassVar[Mapping[str, str]] = {}
    """The end of the name of a class in `architectures` -> the task of ours that it is for."""

    @classmethod
    @abstractmethod
    def read(cls, folder: Path, config: Mapping[str, Any], *, task: str | None) -> ImportedModel:
        """Read a folder whose `config.json` is `config`, with the head that `task` wants; raises `PackageError`."""

    @classmethod
    @abstractmethod
    def examples(cls) -> list[Any]:
        """Raw values to try a network with that brings no data: of every size that its graph must bear."""

    @classmethod
    @abstractmethod
    def write(cls, package: ModelPackage, network: Network, folder: Path) -> ExportedModel:
        """Write a folder that the library loads; raises `PackageError` where there is no such format for this model."""

    @classmethod
    @abstractmethod
    def ask(cls, model: Any, arrays: Mapping[str, Tensor], package: ModelPackage) -> Tensor:
        """What a model of the library answers to arrays that an encoder of ours made: logits, else the embedding."""
