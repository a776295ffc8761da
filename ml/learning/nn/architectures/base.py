"""What a backbone promises: one signal in, named features out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from torch import Tensor, nn

from ml.errors import Finding, SpecError
from ml.schedule import Schedule
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.config import Config
    from ml.signals import Signal

Features = dict[Feature, tuple[Tensor, ...]]
"""POOLED, SEQUENCE and CAUSAL are one tensor, LATENT is mean and log-variance, MAPS are as many as there are scales."""


class BackboneState(NamedTuple):
    """What a backbone that reads from left to right remembers, so that it can go on. Rows are independent.

    So rows of several batches can be put together, the shorter ones padded on the left, and taken apart again.
    """

    memory: Tensor
    """[B, P, K] with K of `Widths.state`; P is 0 before anything was read, and then as long as the backbone likes."""
    mask: Tensor
    """bool [B, P], true where the memory is real."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """What a head must know of a backbone: the D, C_i and Z of its features, and the shape of the signal it reads."""

    shape: Mapping[str, int]
    """Of the encoder: channels, height, width; or vocabulary, length; or bins."""
    pooled: int = 0
    sequence: int = 0
    causal: int = 0
    state: int = 0
    """K of what `Backbone.resume` remembers; 0 where it cannot go on."""
    maps: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    """Of the maps: how many pixels of the image lie between two neighbours of a map."""
    latent: int = 0
    auxiliary: int = 0


class Backbone(nn.Module, ABC):
    """Turns one signal into features. Knows no task, no loss, no label.

    `conditions` is how many numbers describe what is known beside the signal (a class, one-hot); 0 where nothing is.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    """The paper, or where the design comes from."""
    accepts: ClassVar[frozenset[Signal]]
    provides: ClassVar[frozenset[Feature]]
    """What it can give; some features only with a config that `adapted` has settled for them."""
    config_type: ClassVar[type[Config]]
    recipe: ClassVar[Schedule]
    """Trains well with nothing else set."""
    base_recipe: ClassVar[Schedule] = Schedule()
    """Goes before all others where it starts from a base model: large steps lose what was learned at length."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    """Name -> config. The first is the default."""
    usual_shape: ClassVar[Mapping[str, int]]
    """What the catalogue counts parameters for."""
    widths: Widths

    @abstractmethod
    def __init__(self, config: Any, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Give every feature of `provides` that the config allows, those of `adapted` in any case.

        `mask` is bool [B, T], true where the signal is real; features are the same whatever stands behind it.
        """

    def resume(self, signal: Tensor, mask: Tensor, state: BackboneState) -> tuple[Features, BackboneState]:
        """Read on from where `state` was left: the features of `signal` alone, as if all had been read at once.

        Only for one that gives CAUSAL and says the width of its state.
        """
        raise NotImplementedError(f"{self.name} cannot go on from where it was")

    def table(self) -> Tensor | None:
        """[V, D]: what each token is read as, for a head that writes with the same; None where no tokens are read."""
        return None

    @classmethod
    def adapted(cls, config: Any, needs: frozenset[Feature]) -> Config:
        """The config, settled for a slot that needs these features: a mask, a direction.

        Asked once, when a network is planned; what it answers is what travels with the model.
        """
        return config  # type: ignore[no-any-return]  # a `config_type`

    def strip_training_only(self) -> Mapping[str, Any]:
        """Let go of what exists only while training; what its config then says differently, to be built without it."""
        return {}

    @classmethod
    @abstractmethod
    def tiny(cls) -> Config:
        """The smallest config that uses every branch; for tests."""

    @classmethod
    def configure(cls, asked: Mapping[str, Any]) -> Config:
        """A preset (the first, where none is named) with what else was asked laid over it."""
        overrides = dict(asked)
        preset = overrides.pop("preset", next(iter(cls.presets)))
        if preset not in cls.presets:
            known = ", ".join(cls.presets)
            message = f"{cls.name} has no preset {preset!r}; known: {known}"
            raise SpecError.of([Finding(code="unknown_preset", message=message, expected=known, found=str(preset))])
        return cls.config_type.model_validate({**cls.presets[preset], **overrides})
