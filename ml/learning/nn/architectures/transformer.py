"""Transformer encoder: every position attends to every other.

B batch, T time, or patches of an image row by row, D width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Final

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import embedding

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, BackboneState, Features, Widths
from ml.learning.nn.layers.attention import Activation, Norm, TransformerLayer, padding_mask, to_attention_bias
from ml.learning.nn.layers.causal_mask import causal_mask, last_position, position_ids
from ml.learning.nn.layers.input_embedding import InputEmbedding, PatchEmbedding
from ml.learning.nn.layers.masking import masked_mean, to_mask, zero_masked
from ml.learning.nn.layers.positional_encoding import sinusoids
from ml.learning.nn.layers.sdpa import Past
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


class TransformerConfig(Config):
    """Sizes of the network, as in table 3 of the paper."""

    width: Count = 128
    layers: Count = 2
    heads: Count = 4
    head_width: Count | None = Field(None, description="Width of each head; by default `width` divided by `heads`.")
    feed_forward: Count = 512
    dropout: float = Field(0.1, ge=0, lt=1)
    norm: Norm = "before"
    activation: Activation = "relu"
    causal: bool = Field(False, description="Attend to earlier positions only; set for tasks that require it.")
    patch: Count | None = Field(
        None,
        description="Side of the square patches of an image, in pixels; by default a quarter of the longer side of the "
        "image, at most 16.",
    )
    class_token: bool = Field(
        False,
        description="Whether an image is pooled at a learned vector before its patches, as ViT was published, and not "
        "as their mean.",
    )

    @model_validator(mode="after")
    def _check_width(self) -> Self:
        if self.head_width is None and self.width % (2 * self.heads):
            raise ValueError(
                f"width is {self.width}; it must be a multiple of {2 * self.heads}, twice the number of heads"
            )
        if self.width % 2:
            raise ValueError(f"width is {self.width}; it must be even")
        return self


#: What the published sizes of the vision transformer have in common, for images of 224 x 224 pixels.
_VIT: Final = {"layers": 12, "activation": "gelu", "patch": 16, "class_token": True}
_IMAGENET: Final = {"channels": 3, "height": 224, "width": 224}


class Transformer(Backbone):
    """Layers of self-attention and feed-forward networks over tokens, audio frames or patches of an image.

    Only the reader knows the signal; tokens and frames have sinusoidal positions, patches learned ones (a vision
    transformer). Pooled is the mean over time, or the class token; with a causal mask it is the last position, the only
    one that depends on the whole input. If `norm` comes before each sublayer, there is another one at the end, since
    the residual sum has grown.
    """

    name = "transformer"
    summary = "Transformer encoder, small or as published; for texts, audio and images (ViT)"
    source = (
        "Vaswani et al. 2017, Attention is all you need, arXiv:1706.03762; for images Dosovitskiy et al. 2020, "
        "arXiv:2010.11929 (ViT), and for its smaller sizes Touvron et al. 2021, arXiv:2012.12877 (DeiT)"
    )
    accepts = frozenset({Signal.TOKENS, Signal.FRAMES, Signal.IMAGE})
    provides = frozenset({Feature.POOLED, Feature.SEQUENCE, Feature.CAUSAL})
    config_type = TransformerConfig
    recipe = Schedule(
        epochs=8,
        batch_size=32,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.01,
        decay="cosine",
        warmup_fraction=0.1,
        gradient_clip_norm=1.0,
    )
    # On MNIST: 97.4 % in 2.4 CPU-minutes.
    signal_recipes: ClassVar[Mapping[Signal, Schedule]] = {
        Signal.IMAGE: Schedule(epochs=4, batch_size=128, learning_rate=2e-3)
    }
    # After a layer whose sublayers add zero, a normalization after the sum would normalize twice.
    growable: ClassVar[Mapping[str, Mapping[str, Any]]] = {"layers": {"norm": "before"}, "feed_forward": {}}
    residual_outputs = (
        "attention.output.weight",
        "attention.output.bias",
        "feed_forward.3.weight",
        "feed_forward.3.bias",
    )
    prunable = ("feed_forward", "heads")
    body = ("layers.", "norm.")
    body_options = ("width", "layers", "heads", "head_width", "feed_forward", "norm", "activation")
    usual_shape: ClassVar[Mapping[str, int]] = {"vocabulary": 37_000, "length": 512}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"width": 128, "layers": 2, "heads": 4, "feed_forward": 512},
        "medium": {"width": 256, "layers": 4, "heads": 4, "feed_forward": 1024},
        "base": {"width": 512, "layers": 6, "heads": 8, "feed_forward": 2048, "norm": "after"},
        "vit_tiny": {**_VIT, "width": 192, "heads": 3, "feed_forward": 768},
        "vit_small": {**_VIT, "width": 384, "heads": 6, "feed_forward": 1536},
        "vit_base": {**_VIT, "width": 768, "heads": 12, "feed_forward": 3072},
    }
    preset_shapes: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "vit_tiny": _IMAGENET,
        "vit_small": _IMAGENET,
        "vit_base": _IMAGENET,
    }

    def __init__(self, config: TransformerConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        self.causal = config.causal
        self.reader: InputEmbedding | PatchEmbedding = (
            PatchEmbedding(shape, config.width, patch=config.patch, class_token=config.class_token)
            if "height" in shape
            else InputEmbedding(shape, config.width, causal=config.causal)
        )
        self.class_tokens = int(isinstance(self.reader, PatchEmbedding) and config.class_token)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(
                config.width,
                config.heads,
                config.feed_forward,
                head_width=config.head_width,
                dropout=config.dropout,
                norm=config.norm,
                activation=config.activation,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width) if config.norm == "before" else nn.Identity()
        self.scale = math.sqrt(config.width)
        width = config.width
        head_width = config.head_width or width // config.heads
        self.widths = Widths(
            shape=shape,
            pooled=width,
            sequence=width,
            causal=width if config.causal else 0,
            state=((config.heads, head_width),) * (2 * config.layers)
            if config.causal and self.token_embedding() is not None
            else (),
        )

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return the output of the last layer; `CAUSAL` only with a causal config."""
        sequence_BTD, mask_BT, bias = self._read(signal, mask)
        for layer in self.layers:
            sequence_BTD, _ = layer(sequence_BTD, bias)
        return self._to_features(self.norm(sequence_BTD), mask_BT)

    def resume(self, signal: Tensor, mask: Tensor, state: BackboneState) -> tuple[Features, BackboneState]:
        """Continue from the cached keys and values of every layer.

        For tokens only: the embedding of a frame depends on its neighbors.
        """
        context_mask = torch.cat([state.mask, mask], dim=1)
        sequence_BTD = self._embed(signal, mask, context_mask)
        bias = to_attention_bias(causal_mask(mask, context_mask))
        past_length, pairs, new_parts = state.mask.shape[1], zip(state.parts[::2], state.parts[1::2], strict=True), []
        for layer, past in zip(self.layers, pairs, strict=True):
            sequence_BTD, new = layer(sequence_BTD, bias, past=Past(*past, past_length))
            new_parts += new
        return self._to_features(self.norm(sequence_BTD), mask), BackboneState(tuple(new_parts), mask)

    def _read(self, signal: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the embedded signal, its mask and the attention bias.

        The bias is None if every position may be attended to.
        """
        if isinstance(self.reader, PatchEmbedding):
            patches_BTD = self.dropout(self.reader(signal))
            mask_BT = to_mask(patches_BTD, None)
            return patches_BTD, mask_BT, to_attention_bias(causal_mask(mask_BT, mask_BT)) if self.causal else None
        mask_BT = to_mask(signal, mask)
        bias = to_attention_bias(causal_mask(mask_BT, mask_BT) if self.causal else padding_mask(mask_BT))
        return self._embed(signal, mask_BT, mask_BT), mask_BT, bias

    def _embed(self, signal: Tensor, mask: Tensor, context_mask: Tensor) -> Tensor:
        # Embeddings are initialized with length one; scaled, they weigh as much as the positions (section 3.4).
        embedded_BTD = self.reader(signal, mask) * self.scale
        positions_BT = position_ids(context_mask)[:, context_mask.shape[1] - mask.shape[1] :]
        table = sinusoids(torch.arange(context_mask.shape[1], device=context_mask.device), embedded_BTD.shape[2])
        total: Tensor = embedded_BTD + embedding(positions_BT, table.to(embedded_BTD.dtype))
        return self.dropout(total)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def _to_features(self, sequence_BTD: Tensor, mask_BT: Tensor) -> Features:
        masked_BTD = zero_masked(sequence_BTD, mask_BT)
        if self.class_tokens:
            masked_BTD = masked_BTD[:, self.class_tokens :]
        if self.causal:
            last_BD = last_position(sequence_BTD, mask_BT)
            return {Feature.POOLED: (last_BD,), Feature.SEQUENCE: (masked_BTD,), Feature.CAUSAL: (masked_BTD,)}
        pooled_BD = sequence_BTD[:, 0] if self.class_tokens else masked_mean(sequence_BTD, mask_BT)
        return {Feature.POOLED: (pooled_BD,), Feature.SEQUENCE: (masked_BTD,)}

    def token_embedding(self) -> Tensor | None:
        """Return the token embedding, unscaled; None for frames and images."""
        if not isinstance(self.reader, InputEmbedding) or self.reader.table is None:
            return None
        return self.reader.table.weight

    @classmethod
    def adapt_config(cls, config: Config, needs: frozenset[Feature]) -> Config:
        """Make the config causal if a slot needs that."""
        return config.model_copy(update={"causal": True}) if Feature.CAUSAL in needs else config

    @classmethod
    def spell_out(cls, config: TransformerConfig) -> TransformerConfig:
        """Return the config with the width of a head."""
        return config.model_copy(update={"head_width": config.head_width or config.width // config.heads})

    @classmethod
    def tiny(cls) -> TransformerConfig:
        """Return two layers of two heads, and a class token for images."""
        return TransformerConfig(width=8, layers=2, heads=2, feed_forward=12, patch=4, class_token=True)
