"""Images generated from noise and a label.

`noise`, float32 [batch, state.latent], is drawn from the normal distribution by numpy's default generator, seeded
with `seed`. `label`, int64 [batch], is the position of the label in `labels`; if the input has none, it is drawn by the
generator of [seed, 1]. `image` [batch, channels, height, width], 0 to 1, is the generated image.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any, Final

import numpy as np

from ml.data.files.images import encode_png

TASKS: Final = ("image_generation",)
SEEDS: Final = 2**32


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return a PNG as base64 for each input, with its label and seed."""
    labels, latent = model.metadata["task"]["state"]["labels"], model.metadata["task"]["state"]["latent"]
    seeds = [secrets.randbelow(SEEDS) if raw_input.get("seed") is None else raw_input["seed"] for raw_input in inputs]
    noise = [np.random.default_rng(seed).standard_normal(latent) for seed in seeds]
    arrays = {"noise": np.array(noise, dtype=np.float32)}
    row_labels: list[str | None] = [None] * len(inputs)
    if labels:
        drawn = [labels[int(np.random.default_rng([seed, 1]).integers(len(labels)))] for seed in seeds]
        row_labels = [raw_input.get("label") or label for raw_input, label in zip(inputs, drawn, strict=True)]
        arrays["label"] = np.array([labels.index(label) for label in row_labels], dtype=np.int64)
    images = model.run("model", arrays)["image"]
    pixels = np.rint(images.clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return [
        {"image": base64.b64encode(encode_png(np.ascontiguousarray(row))).decode(), "label": label, "seed": seed}
        for row, label, seed in zip(pixels, row_labels, seeds, strict=True)
    ]
