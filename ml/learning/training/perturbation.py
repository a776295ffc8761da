"""Perturbations of the signal of a slot: images and frames themselves, tokens in their embeddings.

B batch, C channels, H height, W width, T time, F bins of a frame, D width of an embedding.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from torch import Tensor, nn

from ml.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.encoders.base import Encoder
    from ml.learning.nn.architectures.base import Backbone

Norm = Literal["linf", "l2"]
#: Default norm and radius of the signals that can be perturbed. A record is none of them: its ranks, marks and codes
#: know no small change.
DEFAULTS: Final[Mapping[Signal, tuple[Norm, float]]] = {
    Signal.IMAGE: ("linf", 0.1),
    Signal.FRAMES: ("linf", 0.1),
    # Embeddings lie close together: at 0.1, any word can become any other one.
    Signal.TOKENS: ("l2", 0.02),
}
#: Default weight of the loss on rows as they are; 0 for other signals. Under attack alone nothing is learned from
#: texts, so both losses count, as in Miyato et al. 2017, equation 7.
CLEAN_WEIGHTS: Final[Mapping[Signal, float]] = {Signal.TOKENS: 0.5}
#: Divisors that are smaller count as this.
MIN_LENGTH: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Ball:
    """Perturbations whose norm is at most the radius of their row.

    The radius is [B, 1, ...].
    """

    norm: Norm
    radius: Tensor

    def project(self, delta: Tensor) -> Tensor:
        """Return the nearest perturbation in the ball."""
        if self.norm == "linf":
            return torch.maximum(torch.minimum(delta, self.radius), -self.radius)
        return delta * (self.radius / _lengths(delta)).clamp(max=1.0)

    def ascent(self, gradient: Tensor) -> Tensor:
        """Return the direction of steepest ascent, as long as the radius."""
        direction = gradient.sign() if self.norm == "linf" else gradient / _lengths(gradient)
        return direction * self.radius

    def random(self, shape: torch.Size) -> Tensor:
        """Return a random perturbation in the ball."""
        if self.norm == "linf":
            return (2 * torch.rand(shape, device=self.radius.device) - 1) * self.radius
        normal = torch.randn(shape, device=self.radius.device)
        return normal / _lengths(normal) * self.radius * torch.rand_like(self.radius)


class Perturbation(ABC):
    """Perturbation of one slot of one batch."""

    def __init__(self, slot: str, ball: Ball, shape: torch.Size) -> None:
        self.slot = slot
        self.ball = ball
        self.shape = shape

    def zeros(self) -> Tensor:
        """Return no perturbation."""
        return torch.zeros(self.shape, device=self.ball.radius.device)

    def random(self) -> Tensor:
        """Return a random perturbation."""
        return self.restrict(self.ball.random(self.shape))

    def step(self, delta: Tensor, gradient: Tensor | None, step_size: float) -> Tensor:
        """Move along the gradient by `step_size` radii, and back into the ball.

        Without a gradient the loss does not depend on the slot.
        """
        if gradient is None:
            return delta
        return self.restrict(self.ball.project(delta + step_size * self.ball.ascent(gradient)))

    @abstractmethod
    def restrict(self, delta: Tensor) -> Tensor:
        """Return the part of a perturbation that leaves valid values and padding as they are."""

    @abstractmethod
    def apply(self, batch: Mapping[str, Tensor], delta: Tensor) -> contextlib.AbstractContextManager[dict[str, Tensor]]:
        """Perturb a batch inside of the context."""


class ValuePerturbation(Perturbation):
    """Perturbation of the values of a signal, which stay between `low` and `high`.

    `scale` converts units of the perturbation to those of the signal. All broadcast to the signal.
    """

    def __init__(
        self, slot: str, ball: Ball, signal: Tensor, *, scale: Tensor, low: Tensor, high: Tensor, mask: Tensor | None
    ) -> None:
        super().__init__(slot, ball, signal.shape)
        self.signal = signal
        self.scale = scale
        self.low, self.high = low, high
        self.mask = mask

    def restrict(self, delta: Tensor) -> Tensor:
        """Keep the perturbed signal in its range."""
        perturbed = torch.maximum(torch.minimum(self.signal + delta * self.scale, self.high), self.low)
        restricted = (perturbed - self.signal) / self.scale
        return restricted if self.mask is None else restricted * self.mask

    @contextlib.contextmanager
    def apply(self, batch: Mapping[str, Tensor], delta: Tensor) -> Iterator[dict[str, Tensor]]:
        """Replace the signal."""
        yield {**batch, self.slot: self.signal + delta * self.scale}


class EmbeddingPerturbation(Perturbation):
    """Perturbation of the embeddings of tokens, [B, T, D] (Miyato et al. 2017, arXiv:1605.07725).

    A token cannot be changed a little, but its embedding can.
    """

    def __init__(self, slot: str, ball: Ball, table: nn.Embedding, mask_BT1: Tensor) -> None:
        super().__init__(slot, ball, torch.Size([*mask_BT1.shape[:2], table.embedding_dim]))
        self.table = table
        self.mask_BT1 = mask_BT1

    def restrict(self, delta: Tensor) -> Tensor:
        """Leave padding as it is."""
        return delta * self.mask_BT1

    @contextlib.contextmanager
    def apply(self, batch: Mapping[str, Tensor], delta: Tensor) -> Iterator[dict[str, Tensor]]:
        """Add the perturbation to what the embedding layer returns."""

        def add(_module: nn.Module, _inputs: Any, embedded: Tensor) -> Tensor:
            return embedded + delta.to(embedded.dtype)

        handle = self.table.register_forward_hook(add)
        try:
            yield dict(batch)
        finally:
            handle.remove()


@dataclass(frozen=True, slots=True)
class PerturbationSpace:
    """Allowed perturbations of one slot, for any batch."""

    slot: str
    encoder: Encoder[Any]
    backbone: Backbone
    norm: Norm
    radius: float

    @classmethod
    def of(
        cls, slot: str, encoder: Encoder[Any], backbone: Backbone, *, norm: Norm | None, radius: float | None
    ) -> PerturbationSpace:
        """Fill the defaults of the signal."""
        default_norm, default_radius = DEFAULTS[encoder.signal]
        return cls(slot, encoder, backbone, norm or default_norm, default_radius if radius is None else radius)

    def with_radius(self, radius: float) -> PerturbationSpace:
        """Return the space of another radius."""
        return replace(self, radius=radius)

    def perturbation(self, batch: Mapping[str, Tensor]) -> Perturbation:
        """Return the perturbation of a batch."""
        signal, mask = batch[self.slot], batch.get(f"{self.slot}_mask")
        match self.encoder.signal:
            case Signal.IMAGE:
                return self._of_image(signal)
            case Signal.FRAMES:
                return self._of_frames(signal, mask)
            case _:
                return self._of_tokens(signal, mask)

    def _of_image(self, signal_BCHW: Tensor) -> Perturbation:
        config = self.encoder.config
        mean, deviation = (
            signal_BCHW.new_tensor(values or [default] * signal_BCHW.shape[1]).reshape(1, -1, 1, 1)
            for values, default in ((config.mean, 0.0), (config.deviation, 1.0))
        )
        ball = Ball(self.norm, signal_BCHW.new_full((len(signal_BCHW), 1, 1, 1), self.radius))
        low, high = (0 - mean) / deviation, (1 - mean) / deviation
        return ValuePerturbation(self.slot, ball, signal_BCHW, scale=1 / deviation, low=low, high=high, mask=None)

    def _of_frames(self, signal_BTF: Tensor, mask_BT: Tensor | None) -> Perturbation:
        """Frames stay between the lowest and the highest value of their clip."""
        mask_BT1 = _mask_like(signal_BTF, mask_BT)
        padding = mask_BT1 == 0
        low = signal_BTF.masked_fill(padding, float("inf")).amin(dim=(1, 2), keepdim=True)
        high = signal_BTF.masked_fill(padding, float("-inf")).amax(dim=(1, 2), keepdim=True)
        radius = self.radius * (_lengths(signal_BTF) if self.norm == "l2" else torch.ones_like(low))
        ones = torch.ones_like(low)
        return ValuePerturbation(
            self.slot, Ball(self.norm, radius), signal_BTF, scale=ones, low=low, high=high, mask=mask_BT1
        )

    def _of_tokens(self, tokens_BT: Tensor, mask_BT: Tensor | None) -> Perturbation:
        table = token_table(self.backbone)
        assert table is not None, "checked against the backbones"
        mask_BT1 = _mask_like(tokens_BT, mask_BT).float()
        with torch.no_grad():
            radius = self.radius * _lengths(table(tokens_BT).float() * mask_BT1)
        return EmbeddingPerturbation(self.slot, Ball(self.norm, radius), table, mask_BT1)


def token_table(backbone: Backbone) -> nn.Embedding | None:
    """Return the layer that embeds the tokens of a backbone; None if it reads none."""
    weight = backbone.token_embedding()
    tables = (module for module in backbone.modules() if isinstance(module, nn.Embedding) and module.weight is weight)
    return next(tables, None)


def _mask_like(signal: Tensor, mask_BT: Tensor | None) -> Tensor:
    mask = torch.ones(signal.shape[:2], device=signal.device) if mask_BT is None else mask_BT
    return mask.unsqueeze(2).float()


def _lengths(rows: Tensor) -> Tensor:
    """Return the Euclidean length of each row, [B, 1, ...]."""
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=tuple(range(1, rows.dim())), keepdim=True)
    return lengths.clamp(min=MIN_LENGTH)
