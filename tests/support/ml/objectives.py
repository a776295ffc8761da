"""Every objective with a real, small network, and a batch that all of them read."""

from __future__ import annotations

from typing import Any

import torch

from ml.config import Choice
from ml.learning.nn.heads import HEADS
from ml.learning.nn.network import build
from ml.learning.nn.objectives import OBJECTIVES
from ml.signals import Feature, Signal, Slot
from ml.spec.schema import MODEL_FORMAT

SHAPES = {
    Signal.IMAGE: {"channels": 1, "height": 8, "width": 8},
    Signal.TOKENS: {"vocabulary": 16, "length": 12, "padding": 0, "begin": 1, "end": 2, "mask": 3},
    Signal.FRAMES: {"bins": 4},
}
#: Architecture by the signal and the feature of a slot.
BACKBONES = {
    (Signal.IMAGE, Feature.POOLED): "cnn",
    (Signal.IMAGE, Feature.MAPS): "cnn",
    (Signal.IMAGE, Feature.LATENT): "vae",
    (Signal.TOKENS, Feature.POOLED): "transformer",
    (Signal.TOKENS, Feature.SEQUENCE): "transformer",
    (Signal.TOKENS, Feature.CAUSAL): "gpt",
    (Signal.FRAMES, Feature.SEQUENCE): "rnn",
}
IMAGE = Slot(reads=frozenset({Signal.IMAGE}), needs=HEADS["classifier"].needs)


def build_objective(name: str) -> Any:
    """Return an objective whose weights are always the same."""
    torch.manual_seed(0)
    objective_type = OBJECTIVES[name]
    slots = objective_type.slots or {"image": IMAGE}
    backbones, shapes = {}, {}
    for slot_name, slot in slots.items():
        (signal,), (feature, *_) = slot.reads, slot.needs
        backbones[slot_name], shapes[slot_name] = Choice(name=BACKBONES[signal, feature], config={}), SHAPES[signal]
    head = Choice(name=objective_type.head, config={}) if objective_type.head else None
    if not objective_type.slots:
        head = Choice(name="classifier", config={"classes": 4})
    config, networks = {}, {}
    for option in model_options(name):
        torch.manual_seed(7)
        config[option], networks[option] = option, build(backbones, shapes=shapes, head=head).eval()
    network = build(backbones, shapes=shapes, head=head)
    objective = objective_type(objective_type.config_type.model_validate(config), network)
    objective.set_models(networks)
    return objective


def model_options(name: str) -> list[str]:
    """Return the options that name a model."""
    options = OBJECTIVES[name].config_type.model_json_schema().get("properties", {})
    return [option for option, schema in options.items() if schema.get("format") == MODEL_FORMAT]


def make_batch() -> dict[str, torch.Tensor]:
    """Return images labeled by their bright quadrant, texts of ascending tokens, and audio."""
    generator = torch.manual_seed(1)
    label = torch.arange(32) % 4
    image = torch.rand(32, 1, 8, 8, generator=generator) * 0.3
    for row, quadrant in enumerate(label.tolist()):
        top, left = 4 * (quadrant // 2), 4 * (quadrant % 2)
        image[row, :, top : top + 4, left : left + 4] += 0.6
    text = 4 + (torch.arange(32)[:, None] + torch.arange(12)) % 12
    mask = torch.arange(12) < 6 + torch.arange(32)[:, None] % 7
    pitch = torch.arange(1, 33)[:, None, None] * torch.arange(12)[:, None] / 12 + torch.arange(4)
    return {
        "image": image,
        "label": label,
        "text": text.where(mask, 0),
        "text_mask": mask,
        "audio": pitch.sin() * mask.unsqueeze(2),
        "audio_mask": mask,
    }
