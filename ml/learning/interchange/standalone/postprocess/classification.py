"""Label, confidence and probabilities from logits.

`logits` [batch, classes]: their softmax is the probability of each of `labels`, in that order. An output for a text
that was cut has `truncated`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

TASKS: Final = ("audio_classification", "image_classification", "tabular_classification", "text_classification")


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return label, confidence and probabilities of each input."""
    (slot,) = model.metadata["inputs"]
    logits = model.run("model", model.encode(slot, inputs))["logits"].astype(np.float64)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = model.metadata["labels"]
    return [
        {"label": labels[best], "confidence": row[best], "probabilities": dict(zip(labels, row, strict=True)), **fields}
        for best, row, fields in zip(
            probabilities.argmax(axis=1).tolist(), probabilities.tolist(), model.truncation(slot, inputs), strict=True
        )
    ]
