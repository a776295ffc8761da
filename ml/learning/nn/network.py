"""Network: a backbone for each slot, and at most one head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.generation.state import state_names
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.architectures.base import BackboneState
from ml.learning.nn.heads import HEADS
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.config import Choice
    from ml.learning.nn.architectures.base import Backbone, Features
    from ml.learning.nn.heads.base import Head, Tensors


class Network(nn.Module):
    """All modules of a model that have weights.

    It reads a batch by name: the signal of a slot under the name of the slot, its mask under `{slot}_mask`.
    """

    def __init__(self, backbones: Mapping[str, Backbone], *, head: Head | None = None) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(backbones)
        self.typed_backbones = dict(backbones)
        self.widths = {slot: backbone.widths for slot, backbone in backbones.items()}
        self.head = head
        if head is not None:
            head.bind_backbones(backbones)

    def label_dimensions(self) -> dict[str, int]:
        """Return the dimension of the labels in tensors that have one, by name."""
        dimensions = (
            {f"head.{name}": dimension for name, dimension in self.head.label_dimensions.items()} if self.head else {}
        )
        for slot, backbone in self.typed_backbones.items():
            for name, dimension in backbone.condition_dimensions.items():
                dimensions[f"backbones.{slot}.{name}"] = dimension
        return dimensions

    def extract_features(self, batch: Mapping[str, Tensor]) -> dict[str, Features]:
        """Return the features of each slot whose signal is in the batch.

        Where `{slot}_present`, bool [B], is false, the pooled feature is zero.
        """
        condition = self._encode_condition(batch)
        if self.head is not None:
            self.head.receive(batch)
        return {
            slot: _hide_missing(
                backbone(batch[slot], batch.get(f"{slot}_mask"), condition), batch.get(f"{slot}_present")
            )
            for slot, backbone in self.backbones.items()
            if slot in batch
        }

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the outputs of the head for its loss."""
        return self.require_head()(self.extract_features(batch), batch)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def compute_losses(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the `loss` of the head, and in evaluation its scores too."""
        outputs = self(batch)
        head = self.require_head()
        loss = {"loss": head.loss(outputs, batch)}
        return loss if self.training else {**loss, **head.measure(outputs, batch)}

    def infer(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the output of the head, and the `embedding` of all signals in the batch.

        If the batch has the state of a slot (`{slot}_state_mask` and `state_names`, see `BackboneState`), its backbone
        resumes from it. The outputs then include `{slot}_new_state_...` of a backbone that `appends_state`, or else
        `{slot}_next_state` and `{slot}_next_state_mask`.
        """
        features, states = self._extract_or_resume(batch)
        outputs = self.head.infer(features, batch) if self.head is not None else {}
        return {**outputs, **({"embedding": _join_pooled(features)} if features else {}), **states}

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the concatenated pooled features of all slots, float32 [B, D]."""
        return _join_pooled(self.extract_features(batch))

    def strip_training_only(self) -> dict[str, Mapping[str, Any]]:
        """Remove modules used only in training; return the changed config values of each slot's backbone."""
        if self.head is not None:
            self.head.strip_training_only()
        return {slot: backbone.strip_training_only() for slot, backbone in self.typed_backbones.items()}

    def without_head(self) -> Network:
        """Return a network of the same backbones that only computes embeddings."""
        return Network(self.typed_backbones)

    def require_head(self) -> Head:
        """Return the head; raises `TypeError` if there is none."""
        if self.head is None:
            raise TypeError("a network without a head only computes embeddings")
        return self.head

    def _extract_or_resume(self, batch: Mapping[str, Tensor]) -> tuple[dict[str, Features], Tensors]:
        """Return features by slot, and the next states by name if the batch has states."""
        if not any(f"{slot}_state_mask" in batch for slot in self.typed_backbones):
            return self.extract_features(batch), {}
        features: dict[str, Features] = {}
        states: Tensors = {}
        for slot, backbone in self.typed_backbones.items():
            count = len(backbone.widths.state)
            parts = tuple(batch[name] for name in state_names(slot, count))
            state = BackboneState(parts, batch[f"{slot}_state_mask"])
            features[slot], result = backbone.resume(batch[slot], batch[f"{slot}_mask"], state)
            kind = "new_state" if backbone.appends_state else "next_state"
            states |= dict(zip(state_names(slot, count, kind=kind), result.parts, strict=True))
            if not backbone.appends_state:
                states[f"{slot}_next_state_mask"] = result.mask
        return features, states

    def _encode_condition(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        head = self.head
        if head is None or not head.conditions or head.condition not in batch:
            return None
        return functional.one_hot(batch[head.condition], head.conditions).float()


def build(
    architectures: Mapping[str, Choice], *, shapes: Mapping[str, Mapping[str, int]], head: Choice | None = None
) -> Network:
    """Build a network with fresh weights. `shapes` is `Encoder.shape` by slot."""
    head_type = HEADS[head.name] if head else None
    head_config = head_type.config_type.model_validate(head.config) if head and head_type else None
    conditions = head_type.count_conditions(head_config) if head_type else 0
    backbones = {}
    for slot, choice in architectures.items():
        architecture = ARCHITECTURES[choice.name]
        backbones[slot] = architecture(architecture.configure(choice.config), shape=shapes[slot], conditions=conditions)
    widths = {slot: backbone.widths for slot, backbone in backbones.items()}
    return Network(backbones, head=head_type(head_config, widths=widths) if head_type else None)


def _hide_missing(features: Features, present_B: Tensor | None) -> Features:
    if present_B is None:
        return features
    pooled_BD, *others = features[Feature.POOLED]
    return {**features, Feature.POOLED: (pooled_BD * present_B[:, None].to(pooled_BD.dtype), *others)}


def _join_pooled(features: Mapping[str, Features]) -> Tensor:
    return torch.cat([slot_features[Feature.POOLED][0].float() for slot_features in features.values()], dim=1)
