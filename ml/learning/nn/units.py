"""Units of a network that can be removed: channels, heads and hidden units.

An architecture names the options that count them (`Backbone.prunable`). The slices of tensors that belong to a unit
are found by building the backbone once more with one unit less: tensors that are smaller then have slices of the unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import torch

from ml.config import Choice
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.heads import HEADS
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

    from ml.learning.nn.architectures.base import Backbone

#: Keys and positions that lead to a number of units in the config of an architecture.
OptionPath = tuple[str | int, ...]
#: Name of a tensor up to its first number: its layer.
_LAYER: Final = re.compile(r"[^0-9]*[0-9]*")


@dataclass(frozen=True, slots=True)
class Units:
    """Units of one layer that are removed whole."""

    slot: str
    option: OptionPath
    count: int
    #: Name in the network -> dimension -> values for each unit. Those of a unit are neighbors, except in `gated`.
    tensors: Mapping[str, Mapping[int, int]]
    #: Names of tensors whose dimension 0 has gates one after another, a value of each unit in each.
    gated: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """Name for reports, such as `image.stages.0.1`."""
        return ".".join(str(part) for part in (self.slot, *self.option))

    def keep(self, tensor: Tensor, name: str, units: Tensor) -> Tensor:
        """Return the slices of a tensor that belong to `units`, int64 [K].

        A tensor without slices stays as it is.
        """
        for dimension in self.tensors.get(name, {}):
            tensor = tensor.index_select(dimension, self.positions(name, dimension, units))
        return tensor

    def positions(self, name: str, dimension: int, units: Tensor) -> Tensor:
        """Return where the values of units are in a dimension of a tensor.

        `units` is int64 [K], the result int64 [K * values].
        """
        values = self.tensors[name][dimension]
        offsets = torch.arange(values, device=units.device)
        if self.is_gated(name, dimension):
            return (offsets[:, None] * self.count + units).flatten()
        return (units[:, None] * values + offsets).flatten()

    def is_gated(self, name: str, dimension: int) -> bool:
        """Return whether values of a unit lie apart, one in each gate."""
        return dimension == 0 and name in self.gated

    def first(self, tensor: Tensor, name: str, count: int) -> Tensor:
        """Return the slices of a tensor that belong to the first units.

        They are a view where that is possible.
        """
        for dimension, values in self.tensors.get(name, {}).items():
            if self.is_gated(name, dimension):
                gates = tensor.reshape(values, self.count, *tensor.shape[1:])
                tensor = gates.narrow(1, 0, count).flatten(0, 1)
            else:
                tensor = tensor.narrow(dimension, 0, count * values)
        return tensor


def spell_out(choice: Choice) -> Choice:
    """Return an architecture in whose config every prunable option is a number.

    Null means that there are no such units.
    """
    architecture = ARCHITECTURES[choice.name]
    config = architecture.spell_out(architecture.configure(choice.config))
    return Choice(name=choice.name, config=config.model_dump(mode="json"))


def separate_units(choice: Choice) -> Choice:
    """Return an architecture like `spell_out`, with units that are no features.

    An architecture that cannot have them is the same.
    """
    architecture = ARCHITECTURES[choice.name]
    config = architecture.separate_units(architecture.configure(choice.config))
    return Choice(name=choice.name, config=config.model_dump(mode="json"))


def find_units(
    architectures: Mapping[str, Choice], *, shapes: Mapping[str, Mapping[str, int]], head: Choice | None
) -> list[Units]:
    """Return all units that can be removed, of architectures that `spell_out` returned.

    Units that the head reads stay: a head is never changed.
    """
    needs = HEADS[head.name].needs if head else frozenset(Feature)
    return [
        units
        for slot, choice in architectures.items()
        for units in _find_in_backbone(slot, choice, shapes[slot], needs)
    ]


def with_counts(choice: Choice, slot: str, counts: Mapping[tuple[str, OptionPath], int]) -> Choice:
    """Return an architecture with other numbers of units, by slot and option."""
    config = choice.config
    for (owner, option), count in counts.items():
        if owner == slot:
            config = _replace(config, option, count)
    return Choice(name=choice.name, config=config)


def cut(tensors: Mapping[str, Tensor], retained: Sequence[tuple[Units, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of a network with the retained units alone."""
    by_name: dict[str, list[tuple[Units, Tensor]]] = {}
    for units, indices in retained:
        for name in units.tensors:
            by_name.setdefault(name, []).append((units, indices))
    smaller = {}
    for name, tensor in tensors.items():
        for units, indices in by_name.get(name, ()):
            tensor = units.keep(tensor, name, indices)
        smaller[name] = tensor
    return smaller


def prefix(tensors: Mapping[str, Tensor], units: Sequence[tuple[Units, int]]) -> dict[str, Tensor]:
    """Return tensors with the first units of each layer alone, views where that is possible.

    `units` come with their number.
    """
    smaller = dict(tensors)
    for item, count in units:
        for name in item.tensors.keys() & smaller.keys():
            smaller[name] = item.first(smaller[name], name, count)
    return smaller


def _find_in_backbone(
    slot: str, choice: Choice, shape: Mapping[str, int], needs: frozenset[Feature]
) -> Iterator[Units]:
    architecture = ARCHITECTURES[choice.name]
    if not architecture.prunable:
        return
    full = _build_shapes(choice, shape)
    sizes = {name: tensor.shape for name, tensor in full.state_dict().items()}
    for option, count in _count_options(choice.config, architecture.prunable):
        if count < 2:
            continue
        fewer = _build_shapes(Choice(name=choice.name, config=_replace(choice.config, option, count - 1)), shape)
        if needs & _changed_features(full, fewer):
            continue
        layers: dict[str, dict[str, dict[int, int]]] = {}
        for name, tensor in fewer.state_dict().items():
            dimensions = {
                dimension: _values_of_a_unit(size, tensor.shape[dimension], count, name)
                for dimension, size in enumerate(sizes[name])
                if size != tensor.shape[dimension]
            }
            if dimensions:
                # A number in a list counts the units between two layers; a single number those of every layer alike.
                match = _LAYER.match(name) if len(option) == 1 else None
                layers.setdefault(match.group() if match else "", {})[f"backbones.{slot}.{name}"] = dimensions
        for tensors in layers.values():
            gated = frozenset(name for name in tensors if name.endswith(architecture.gated))
            yield Units(slot, option, count, tensors, gated)


def _build_shapes(choice: Choice, shape: Mapping[str, int]) -> Backbone:
    architecture = ARCHITECTURES[choice.name]
    with torch.device("meta"):
        return architecture(architecture.configure(choice.config), shape=shape)


def _count_options(config: Mapping[str, Any], names: Iterable[str]) -> Iterator[tuple[OptionPath, int]]:
    pending: list[tuple[OptionPath, Any]] = [((name,), config[name]) for name in names]
    while pending:
        option, value = pending.pop(0)
        if isinstance(value, list | tuple):
            pending += [((*option, position), part) for position, part in enumerate(value)]
        elif isinstance(value, int):
            yield option, value


def _replace(value: Any, option: OptionPath, count: int) -> Any:
    if not option:
        return count
    first, *rest = option
    if isinstance(value, dict):
        return {**value, first: _replace(value[first], tuple(rest), count)}
    return [_replace(part, tuple(rest), count) if position == first else part for position, part in enumerate(value)]


def _changed_features(full: Backbone, fewer: Backbone) -> frozenset[Feature]:
    """Return the features that have another width."""
    names = {feature.value: feature for feature in Feature}
    return frozenset(
        names[field.name]
        for field in fields(full.widths)
        if field.name in names and getattr(full.widths, field.name) != getattr(fewer.widths, field.name)
    )


def _values_of_a_unit(size: int, fewer: int, count: int, name: str) -> int:
    values = size - fewer
    if values * count != size:
        raise ValueError(f"{name} has {size} values in a dimension that {count} units divide, {values} for each")
    return values
