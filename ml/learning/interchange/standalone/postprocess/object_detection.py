"""`scores` [batch, classes, H, W] say how sure it is that the middle of an object of a class lies at a place of a grid,
`boxes` [batch, 4, H, W] where an object there lies: left, top, right, bottom as shares of the picture. An object is a
place whose score is the highest of the nine around it, and at least `confidence`; of two boxes of one class that
overlap by more than `config.overlap` (intersection over union) the surer stays, and at most `max_objects` do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

TASKS = ("object_detection",)
FAINTEST = 0.01
MOST_PEAKS = 300


def answer(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Objects, the surest first; boxes in pixels of the picture that was given."""
    found = model.run("model", model.read("image", inputs))
    labels, overlap = model.told["labels"], model.told["task"]["config"]["overlap"]
    answers = []
    for given, scores, boxes in zip(inputs, found["scores"], found["boxes"], strict=True):
        height, width = model.reader("image").pixels(given).shape[:2]
        box, confidence, label = _picked(scores, boxes, given["confidence"], overlap)
        box = (box.clip(0, 1) * [width, height, width, height]).round(2)
        rows = list(zip(label.tolist(), confidence.tolist(), box.tolist(), strict=True))[: given["max_objects"]]
        objects = [{"label": labels[code], "confidence": sure, "box": place} for code, sure, place in rows]
        answers.append({"objects": objects})
    return answers


def _picked(
    scores: np.ndarray, boxes: np.ndarray, least: float, overlap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _, height, width = scores.shape
    padded = np.pad(scores, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    around = np.max([padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    peaks = np.flatnonzero((scores == around) & (scores >= max(least, FAINTEST)))
    flat = scores.reshape(-1)
    peaks = peaks[np.argsort(-flat[peaks], kind="stable")][:MOST_PEAKS]
    label, place = np.divmod(peaks, height * width)
    box = boxes.reshape(4, -1)[:, place].T.astype(np.float64)
    kept: list[int] = []
    for index in range(len(peaks)):
        rivals = [each for each in kept if label[each] == label[index]]
        if not rivals or _overlaps(box[index], box[rivals]).max() <= overlap:
            kept.append(index)
    return box[kept], flat[peaks].astype(np.float64)[kept], label[kept]


def _overlaps(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(axis=1)
    areas = (one[2:] - one[:2]).clip(0).prod() + (others[:, 2:] - others[:, :2]).clip(0).prod(axis=1)
    union = areas - shared
    return np.asarray(np.divide(shared, union, out=np.zeros(len(others)), where=union > 0))
