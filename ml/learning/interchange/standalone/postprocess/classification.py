"""`logits` [batch, classes]: their softmax is how probable each of `labels` is, in that order."""

from __future__ import annotations

from typing import Any

import numpy as np

TASKS = ("image_classification", "text_classification")


def answer(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Label, confidence, probabilities."""
    (slot,) = model.told["inputs"]
    logits = model.run("model", model.read(slot, inputs))["logits"].astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    labels = model.told["labels"]
    return [
        {"label": labels[best], "confidence": row[best], "probabilities": dict(zip(labels, row, strict=True))}
        for best, row in zip(shares.argmax(axis=1).tolist(), shares.tolist(), strict=True)
    ]
