"""Label, confidence and probabilities from logits.

`logits` [batch, classes]: the softmax of the logits, divided by the temperature of the calibration, is the probability
of each of `labels`, in that order. The temperature is at `task`, `state`, `calibration` in `preprocessing.json`; it is
1 for a model without a calibration. An output for a text that was cut has `truncated`. The parameter `conformal`, such
as 0.9, adds `label_set`, labels that hold the true one for 90 of 100 inputs.
"""

from __future__ import annotations

from typing import Any, Final

from ml.metrics.calibration import Calibration, to_probabilities

TASKS: Final = ("audio_classification", "image_classification", "tabular_classification", "text_classification")


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return label, confidence and probabilities of each input."""
    (slot,) = model.metadata["inputs"]
    logits = model.run("model", model.encode(slot, inputs))["logits"]
    calibration = Calibration.of_state(model.metadata["task"]["state"])
    probabilities = to_probabilities(logits, calibration.temperature if calibration else 1.0)
    labels = model.metadata["labels"]
    return [
        {"label": labels[best], "confidence": row[best], "probabilities": dict(zip(labels, row, strict=True)), **fields}
        for best, row, fields in zip(
            logits.argmax(axis=1).tolist(), probabilities.tolist(), model.truncation(slot, inputs), strict=True
        )
    ]
