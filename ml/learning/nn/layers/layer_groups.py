"""Grouping of the parameters of a backbone by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch.nn import Parameter


def layer_groups(backbone: nn.Module) -> list[list[Parameter]]:
    """Group parameters by layer, from input to output; each parameter is in one group.

    The layers are the items of the `nn.ModuleList` with the most parameters: the blocks of a transformer, the stages of
    a convolutional network. Parameters registered before it (an embedding, a stem) are a group of their own that comes
    first; those registered after it belong to the last layer. A backbone without such a list is one group.
    """
    parameters = list(backbone.parameters())
    lists = [module for module in backbone.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        return [parameters]
    largest = max(lists, key=_count_parameters)
    layers = [list(module.parameters()) for module in largest]
    layers = [layer for layer in layers if layer]
    layer_ids = {id(parameter) for layer in layers for parameter in layer}
    in_layers = [id(parameter) in layer_ids for parameter in parameters]
    start = in_layers.index(True)
    first = parameters[:start]
    last = [
        parameter for parameter, in_layer in zip(parameters[start:], in_layers[start:], strict=True) if not in_layer
    ]
    layers[-1] = layers[-1] + last
    return [first, *layers] if first else layers


def _count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
