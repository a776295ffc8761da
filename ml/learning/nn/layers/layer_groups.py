"""Which layers of a backbone stand before which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch.nn import Parameter


def layer_groups(backbone: nn.Module) -> list[list[Parameter]]:
    """Parameters by layer, the first to read first; each stands in one layer.

    The layers are those of the list that holds most of the parameters: the blocks of a transformer, the stages of a
    convolutional network. What is registered before it (a table, a stem) reads before it, what comes after belongs to
    the last. A backbone without a list is one layer.
    """
    whole = list(backbone.parameters())
    lists = [each for each in backbone.modules() if isinstance(each, nn.ModuleList)]
    if not lists:
        return [whole]
    largest = max(lists, key=_size)
    layers = [list(each.parameters()) for each in largest]
    layers = [each for each in layers if each]
    inside = {id(parameter) for layer in layers for parameter in layer}
    places = [id(parameter) in inside for parameter in whole]
    start = places.index(True)
    first = whole[:start]
    last = [parameter for parameter, is_inside in zip(whole[start:], places[start:], strict=True) if not is_inside]
    layers[-1] = layers[-1] + last
    return [first, *layers] if first else layers


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
