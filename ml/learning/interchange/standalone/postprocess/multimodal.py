"""A class or a number from the parts of a row.

An input has `image` (or `pixels`), `text`, `audio` and `record` (values by column), or some of them: those of its slots
`image`, `text`, `audio` and `features`. For a missing part a blank one is encoded, and `{slot}_present`, bool [batch],
is false. `logits` [batch, classes] are those of a classifier: their softmax, divided by the temperature of the
calibration, is the probability of each of `labels`; `part_logits` [batch, slots, classes] are those of each part alone.
`prediction` [batch] is in standard deviations of the target from its mean; `state` of the task has both. An output for
a text that was cut has `truncated`.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np

from ml.audio.waveform import Audio
from ml.data.files.audio import encode_wav
from ml.errors import InputError
from ml.metrics.calibration import Calibration, to_probabilities

TASKS: Final = ("multimodal_classification", "multimodal_regression")
#: Slot -> fields of an input that it is read from.
FIELDS: Final = {"image": ("image", "pixels"), "text": ("text",), "audio": ("audio",), "features": ("record",)}


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return label, confidence and probabilities of each input, or its number.

    Raises `InputError` for an input without a part.
    """
    arrays: dict[str, np.ndarray] = {}
    truncation: list[dict[str, Any]] = [{} for _ in inputs]
    for slot in model.metadata["inputs"]:
        parts = [_find_part(slot, raw_input) for raw_input in inputs]
        arrays |= model.encode(slot, [_make_blank(slot) if part is None else part for part in parts])
        arrays[f"{slot}_present"] = np.array([part is not None for part in parts])
        if slot == "text":
            truncation = [model.truncation(slot, [part])[0] if part else {} for part in parts]
    present = np.stack([arrays[f"{slot}_present"] for slot in model.metadata["inputs"]])
    if not present.any(axis=0).all():
        raise InputError("an input has no part that the model reads", hint="Send image, text, audio or record.")
    outputs = _decode(model.run("model", arrays), model)
    return [{**output, **fields} for output, fields in zip(outputs, truncation, strict=True)]


def _find_part(slot: str, raw_input: dict[str, Any]) -> dict[str, Any] | None:
    """Return the input of one slot; None if it is missing."""
    fields = {name: raw_input[name] for name in FIELDS[slot] if raw_input.get(name) is not None}
    if not fields:
        return None
    return dict(fields["record"]) if slot == "features" else fields


def _make_blank(slot: str) -> dict[str, Any]:
    if slot == "audio":
        silence = encode_wav(Audio(np.zeros(4000, dtype=np.float32), 8000))
        return {"audio": base64.b64encode(silence).decode()}
    blanks: dict[str, dict[str, Any]] = {"image": {"pixels": [[0]]}, "text": {"text": ""}, "features": {}}
    return blanks[slot]


def _decode(outputs: dict[str, np.ndarray], model: Any) -> list[dict[str, Any]]:
    if "prediction" in outputs:
        return _decode_numbers(outputs["prediction"], model.metadata["task"]["state"])
    logits, labels = outputs["logits"], model.metadata["labels"]
    calibration = Calibration.of_state(model.metadata["task"]["state"])
    probabilities = to_probabilities(logits, calibration.temperature if calibration else 1.0)
    return [
        {"label": labels[best], "confidence": row[best], "probabilities": dict(zip(labels, row, strict=True))}
        for best, row in zip(logits.argmax(axis=1).tolist(), probabilities.tolist(), strict=True)
    ]


def _decode_numbers(prediction: np.ndarray, state: dict[str, Any]) -> list[dict[str, Any]]:
    values = prediction.astype(np.float64) * state["deviation"] + state["mean"]
    return [{"value": value} for value in values.tolist()]
