"""Backbone: turns one signal into named features."""

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

#: Tensors of each feature. POOLED, SEQUENCE and CAUSAL are one tensor, LATENT is mean and log-variance, MAPS are one
#: tensor for each scale.
Features = dict[Feature, tuple[Tensor, ...]]


class BackboneState(NamedTuple):
    """State from which a causal backbone resumes.

    It is cached keys and values, or the state of a recurrent network. Rows are independent: rows of several batches can
    be joined, with padding anywhere, and split again.
    """

    #: For each shape of `Widths.state`, its last axis behind that of the positions: [B, ..., P, width]. P is 0 before
    #: any input, and later any length that the backbone chooses.
    parts: tuple[Tensor, ...]
    #: bool [B, P], true where the positions are real.
    mask: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """Sizes of the features of a backbone, and the shape of its signal.

    Features that it lacks have 0 or an empty tuple.
    """

    #: Shape of the encoder: channels, height, width; or vocabulary, length; or bins.
    shape: Mapping[str, int]
    pooled: int = 0
    sequence: int = 0
    causal: int = 0
    #: Shape of each part of `BackboneState`, without rows and positions; empty if the backbone cannot resume.
    state: tuple[tuple[int, ...], ...] = ()
    maps: tuple[int, ...] = ()
    #: For each map, the distance of neighboring positions in pixels of the image.
    strides: tuple[int, ...] = ()
    latent: int = 0
    auxiliary: int = 0


class Backbone(nn.Module, ABC):
    """Base class of backbones, which turn one signal into features.

    A backbone knows no task, loss or label. `conditions` is the length of the one-hot vector (a class) that conditions
    the backbone; 0 for none.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    #: Paper or origin of the design.
    source: ClassVar[str]
    accepts: ClassVar[frozenset[Signal]]
    #: Features that it can provide; some only with a config that `adapt_config` has changed for them.
    provides: ClassVar[frozenset[Feature]]
    config_type: ClassVar[type[Config]]
    #: Default schedule.
    recipe: ClassVar[Schedule]
    #: Fields of the default schedule that differ for a signal.
    signal_recipes: ClassVar[Mapping[Signal, Schedule]] = {}
    #: Default schedule when training from a base model; precedes all other recipes, since large steps destroy the
    #: pretrained weights.
    base_recipe: ClassVar[Schedule] = Schedule()
    #: Name -> config. The first is the default.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    #: Number of training rows from which a preset is the default instead, where no option is set.
    preset_rows: ClassVar[Mapping[str, int]] = {}
    #: Fields of the default schedule that differ for a preset.
    preset_recipes: ClassVar[Mapping[str, Schedule]] = {}
    #: Dimension along which a tensor has one slice for each value of the condition, by name of the tensor.
    condition_dimensions: ClassVar[Mapping[str, int]] = {}
    #: Options that may be larger than those of a base model, with the values of other options that this needs. New
    #: units must come last in every tensor, outputs in dimension 0 and inputs in dimension 1.
    growable: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: Last parts of the names of tensors that write to a residual sum: zero in layers that growth adds.
    residual_outputs: ClassVar[tuple[str, ...]] = ()
    #: Options that count units, which can be removed where only layers of this backbone read them: channels, heads,
    #: hidden units. A number in a list counts those of one layer, a single number those of each layer alike.
    prunable: ClassVar[tuple[str, ...]] = ()
    #: Last parts of the names of tensors whose first dimension has gates one after another, a value of each unit in
    #: each.
    gated: ClassVar[tuple[str, ...]] = ()
    #: First parts of the names of tensors that know nothing of the signal: a base model of another signal can provide
    #: them. Empty if every tensor does.
    body: ClassVar[tuple[str, ...]] = ()
    #: Options that define the body.
    body_options: ClassVar[tuple[str, ...]] = ()
    #: Whether `resume` returns the state of its input alone, which the next call reads behind the earlier one; or else
    #: the whole next state.
    appends_state: ClassVar[bool] = True
    #: Shape of the signal for which the catalog counts parameters.
    usual_shape: ClassVar[Mapping[str, int]]
    #: The same for presets that were published for another signal.
    preset_shapes: ClassVar[Mapping[str, Mapping[str, int]]] = {}
    widths: Widths

    @abstractmethod
    def __init__(self, config: Any, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return every feature of `provides` that the config allows, at least those of `adapt_config`.

        `mask` is bool [B, T], true where the signal is real; features do not depend on the rest. `condition` is
        float32 [B, conditions].
        """

    def resume(self, signal: Tensor, mask: Tensor, state: BackboneState) -> tuple[Features, BackboneState]:
        """Continue from `state`: return the features of `signal` only, and its state (see `appends_state`).

        The features are those of reading all of the input at once. Only for backbones that provide CAUSAL and have a
        `Widths.state`.
        """
        raise NotImplementedError(f"{self.name} cannot resume from a state")

    def token_embedding(self) -> Tensor | None:
        """Return the token embedding, [V, D], which a head may share; None without tokens."""
        return None

    @classmethod
    def adapt_config(cls, config: Any, needs: frozenset[Feature]) -> Config:
        """Adapt the config to a slot that needs these features.

        It may set a causal mask or a direction. It is called once, when a network is planned; the result is saved with
        the model.
        """
        return config  # type: ignore[no-any-return]  # a `config_type`

    @classmethod
    def spell_out(cls, config: Any) -> Config:
        """Return the config without defaults in `prunable` options.

        Each is a number, and so are the options that depend on it.
        """
        return config  # type: ignore[no-any-return]  # a `config_type`

    @classmethod
    def separate_units(cls, config: Any) -> Config:
        """Return the config of `spell_out`, with units that are no features.

        An architecture without an option for them returns it as it is. A network of nested sizes is made with it, and
        may have tensors that one with `config` lacks.
        """
        return cls.spell_out(config)

    def strip_training_only(self) -> Mapping[str, Any]:
        """Remove modules used only in training.

        Returns the config values with which the backbone is built without them.
        """
        return {}

    @classmethod
    @abstractmethod
    def tiny(cls) -> Config:
        """Return the smallest config that uses every branch, for tests."""

    @classmethod
    def configure(cls, options: Mapping[str, Any]) -> Config:
        """Return the config of a preset (by default the first), overridden by the other options.

        Raises `SpecError` for an unknown preset.
        """
        overrides = dict(options)
        preset = overrides.pop("preset", next(iter(cls.presets)))
        if preset not in cls.presets:
            presets = ", ".join(cls.presets)
            message = f"{cls.name} has no preset {preset!r}; presets: {presets}"
            raise SpecError.of([Finding(code="unknown_preset", message=message, expected=presets, found=str(preset))])
        return cls.config_type.model_validate({**cls.presets[preset], **overrides})
