"""`noise` float32 [batch, state.latent] is drawn from numpy's default generator of the `seed`, normally distributed;
`label` int64 [batch] is the place of the label among `labels`, and where none is asked for, drawn from the generator of
[seed, 1]. `image` [batch, channels, height, width], 0 to 1, is the picture.
"""

from __future__ import annotations

import base64
import io
import secrets
from typing import Any

import numpy as np
from PIL import Image

TASKS = ("image_generation",)
NEEDS = "pillow"


def answer(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """A PNG as base64, and what to ask for to get it again."""
    labels, latent = model.told["task"]["state"]["labels"], model.told["task"]["state"]["latent"]
    seeds = [secrets.randbelow(2**32) if each.get("seed") is None else each["seed"] for each in inputs]
    arrays = {"noise": np.array([_drawn(seed, latent) for seed in seeds], dtype=np.float32)}
    chosen: list[str | None] = [None] * len(inputs)
    if labels:
        drawn = [labels[int(np.random.default_rng([seed, 1]).integers(len(labels)))] for seed in seeds]
        chosen = [each.get("label") or label for each, label in zip(inputs, drawn, strict=True)]
        arrays["label"] = np.array([labels.index(each) for each in chosen], dtype=np.int64)
    pictures = model.run("model", arrays)["image"]
    pixels = np.rint(pictures.clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    rows = zip(pixels, chosen, seeds, strict=True)
    return [{"image": _png(each), "label": label, "seed": seed} for each, label, seed in rows]


def _drawn(seed: int, latent: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(latent)


def _png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    pixels = np.ascontiguousarray(pixels)
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()
