"""The block that convolutional networks are made of."""

from __future__ import annotations

from torch import nn

Size = int | tuple[int, int]


def convolution(
    channels: int, width: int, size: Size = 3, *, stride: int = 1, padding: Size | None = None, normalise: bool = True
) -> nn.Sequential:
    """Convolution, batch normalisation (or a bias in its place), rectifier; in this order, to be taken apart.

    Where nothing is said of padding, an odd `size` and a stride of 1 leave the image as large as it was.
    """
    if padding is None:
        padding = size // 2 if isinstance(size, int) else (size[0] // 2, size[1] // 2)
    layers: list[nn.Module] = [nn.Conv2d(channels, width, size, stride=stride, padding=padding, bias=not normalise)]
    if normalise:
        layers.append(nn.BatchNorm2d(width))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))
