"""Base class of model families, which convert Hugging Face folders to backbones and back."""

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
    """Content of a Hugging Face folder."""

    architecture: Choice
    encoder: Encoder[Any]
    #: By their names in the `state_dict` of the architecture.
    backbone: dict[str, Tensor]
    #: Model of the transformers library, which the network is compared with.
    pretrained: Any
    #: Tensors of the task's head, if one was requested.
    head: dict[str, Tensor] = field(default_factory=dict)
    #: Config of the task, which determines its head.
    task_options: dict[str, Any] = field(default_factory=dict)
    #: State that the task would have learned from data, other than labels.
    task_state: dict[str, Any] = field(default_factory=dict)
    #: Config of the head, where it differs from the default of the task.
    head_options: dict[str, Any] = field(default_factory=dict)
    #: Names of tensors of the folder that are not used.
    dropped: list[str] = field(default_factory=list)
    #: Messages for the user.
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A written Hugging Face folder."""

    #: The `AutoModel...` class of the transformers library that loads it.
    class_name: str
    #: Messages for the user.
    notes: list[str] = field(default_factory=list)
    #: Prefixes of tensors that the class has and the folder does not.
    missing_prefixes: tuple[str, ...] = ()


class Family(ABC):
    """A model family; `name` is that of its architecture."""

    name: ClassVar[str]
    #: Slot of the architecture, in every task with one slot.
    slot: ClassVar[str]
    #: Values of `model_type` in `config.json`.
    model_types: ClassVar[frozenset[str]]
    #: Optional files that are read beside `config.json` and the weights.
    files: ClassVar[tuple[str, ...]]
    #: Suffix of a class name in `architectures` -> task of its head.
    tasks: ClassVar[Mapping[str, str]] = {}

    @classmethod
    @abstractmethod
    def read(cls, folder: Path, config: Mapping[str, Any], *, task: str | None) -> ImportedModel:
        """Read a folder, with the head of `task`, if any.

        `config` is its `config.json`. Raises `PackageError`.
        """

    @classmethod
    @abstractmethod
    def examples(cls) -> list[Any]:
        """Return raw values for comparisons, of every size that a graph must support."""

    @classmethod
    @abstractmethod
    def write(cls, package: ModelPackage, network: Network, folder: Path) -> ExportedModel:
        """Write a folder for the transformers library.

        Raises `PackageError` if the library has no such model.
        """

    @classmethod
    @abstractmethod
    def predict_pretrained(cls, model: Any, arrays: Mapping[str, Tensor], architecture: Choice) -> Tensor:
        """Run a model of the library on encoded inputs.

        Returns its logits, or else its embedding as `architecture` pools it.
        """

    @classmethod
    @abstractmethod
    def comparison_batches(cls, encoder: Encoder[Any]) -> list[dict[str, Tensor]]:
        """Return encoded inputs on which an imported network is compared with the library."""
