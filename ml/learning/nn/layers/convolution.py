"""Convolution block of the convolutional networks."""

from __future__ import annotations

from torch import nn

Size = int | tuple[int, int]


def conv_block(
    channels: int, width: int, size: Size = 3, *, stride: int = 1, padding: Size | None = None, normalize: bool = True
) -> nn.Sequential:
    """Build a convolution, batch normalization and ReLU, in this order.

    Without normalization the convolution has a bias. Callers may slice the result. By default an odd `size` and a
    stride of 1 keep the size of the image.
    """
    if padding is None:
        padding = size // 2 if isinstance(size, int) else (size[0] // 2, size[1] // 2)
    layers: list[nn.Module] = [nn.Conv2d(channels, width, size, stride=stride, padding=padding, bias=not normalize)]
    if normalize:
        layers.append(nn.BatchNorm2d(width))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))
