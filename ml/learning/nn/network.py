"""Backbones by slot and at most one head: everything of a model that has weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

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
    """Reads a batch by name: a slot's signal under the slot's name, its mask under `{slot}_mask`."""

    def __init__(self, backbones: Mapping[str, Backbone], *, head: Head | None = None) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(backbones)
        self._read = dict(backbones)
        self.widths = {slot: backbone.widths for slot, backbone in backbones.items()}
        self.head = head
        if head is not None:
            head.share(backbones)

    def features(self, batch: Mapping[str, Tensor]) -> dict[str, Features]:
        """What the backbones give, by slot; those whose signal is not in the batch give nothing."""
        known = self._condition(batch)
        return {
            slot: read(batch[slot], batch.get(f"{slot}_mask"), known)
            for slot, read in self.backbones.items()
            if slot in batch
        }

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """The head's outputs, as its loss wants them."""
        return self.needed_head()(self.features(batch), batch)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def losses(self, batch: Mapping[str, Tensor]) -> Tensors:
        """The head's `loss` for the batch; outside of training its scores too."""
        outputs = self(batch)
        head = self.needed_head()
        loss = {"loss": head.loss(outputs, batch)}
        return loss if self.training else {**loss, **head.measure(outputs, batch)}

    def infer(self, batch: Mapping[str, Tensor]) -> Tensors:
        """What the batch allows: the head's answer, and the `embedding` of the signals that are there to be read.

        A slot may come with the state of its backbone (`{slot}_state` and `{slot}_state_mask`, see `BackboneState`).
        The backbone then continues from it, and adds `{slot}_next_state` and `{slot}_next_state_mask`.
        """
        features, states = self._read_on(batch)
        answer = self.head.infer(features, batch) if self.head is not None else {}
        return {**answer, **({"embedding": _embedding(features)} if features else {}), **states}

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Pooled features of all slots side by side, float32 [B, D]."""
        return _embedding(self.features(batch))

    def strip_training_only(self) -> dict[str, Mapping[str, Any]]:
        """Let go of what exists only while training; by slot, what its backbone's config then says differently."""
        if self.head is not None:
            self.head.strip_training_only()
        return {slot: backbone.strip_training_only() for slot, backbone in self._read.items()}

    def without_head(self) -> Network:
        """The same backbones, for embeddings alone."""
        return Network(self._read)

    def needed_head(self) -> Head:
        """The head, for those that cannot do without; raises `TypeError` where there is none."""
        if self.head is None:
            raise TypeError("a network without a head only embeds")
        return self.head

    def _read_on(self, batch: Mapping[str, Tensor]) -> tuple[dict[str, Features], Tensors]:
        """Features by slot, and the states of those slots that had one, by name."""
        if not any(f"{slot}_state" in batch for slot in self._read):
            return self.features(batch), {}
        features: dict[str, Features] = {}
        states: Tensors = {}
        for slot, backbone in self._read.items():
            before = BackboneState(batch[f"{slot}_state"], batch[f"{slot}_state_mask"])
            features[slot], after = backbone.resume(batch[slot], batch[f"{slot}_mask"], before)
            states |= {f"{slot}_next_state": after.memory, f"{slot}_next_state_mask": after.mask}
        return features, states

    def _condition(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        head = self.head
        if head is None or not head.conditions or head.condition not in batch:
            return None
        return functional.one_hot(batch[head.condition], head.conditions).float()


def build(
    architectures: Mapping[str, Choice], *, shapes: Mapping[str, Mapping[str, int]], head: Choice | None = None
) -> Network:
    """A network with fresh weights. `shapes` says by slot what the encoder gives (`Encoder.shape`)."""
    head_type = HEADS[head.name] if head else None
    head_config = head_type.config_type.model_validate(head.config) if head and head_type else None
    conditions = head_type.conditions_of(head_config) if head_type else 0
    backbones = {}
    for slot, choice in architectures.items():
        architecture = ARCHITECTURES[choice.name]
        backbones[slot] = architecture(architecture.configure(choice.config), shape=shapes[slot], conditions=conditions)
    widths = {slot: backbone.widths for slot, backbone in backbones.items()}
    return Network(backbones, head=head_type(head_config, widths=widths) if head_type else None)


def _embedding(features: Mapping[str, Features]) -> Tensor:
    return torch.cat([each[Feature.POOLED][0].float() for each in features.values()], dim=1)
