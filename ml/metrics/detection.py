"""Objects in pictures: from scores on a grid to boxes, and how good such boxes are.

A box is x1, y1, x2, y2. K classes, H height and W width of the grid, n objects found, m objects there are.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.metrics.base import Evaluation, Metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FAINTEST: Final = 0.01
"""No peak below is looked at: an answer for it would be noise."""
MAX_PEAKS: Final = 300
MAX_DETECTIONS: Final = 100
"""Objects of a picture that are judged, the surest (as COCO does)."""
ENOUGH_OVERLAP: Final = 0.5
"""Intersection over union from which a box is said to lie on an object, for the list of errors."""
MOST_ERRORS: Final = 20

METRICS: Final[Mapping[str, Metric]] = {
    "map": Metric(
        "Mean over classes and over overlaps of 0.50, 0.55 to 0.95 that a box must reach of the average precision "
        "(COCO's AP); every class counts once",
        True,
    ),
    "map50": Metric(
        "Mean over classes of the average precision where an overlap (intersection over union) of 0.5 is enough", True
    ),
}


@dataclass(frozen=True, slots=True)
class Detection:
    """The objects of one picture, surest first: `boxes` float [n, 4], `confidence` [n], `label` int64 [n]."""

    boxes: np.ndarray
    confidence: np.ndarray
    label: np.ndarray

    def as_table(self) -> np.ndarray:
        """float64 [n, 6]: box, confidence, label."""
        return np.column_stack([self.boxes, self.confidence, self.label.astype(np.float64)])

    @classmethod
    def of_table(cls, table: np.ndarray) -> Detection:
        """The same again; rows without confidence are none."""
        table = table[table[:, 4] > 0]
        return cls(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def pick(scores_KHW: np.ndarray, boxes_4HW: np.ndarray, *, least: float, most: int, overlap: float) -> Detection:
    """The boxes at the peaks of `scores`, but of two of one class that overlap more than `overlap` only the surer."""
    _, height, width = scores_KHW.shape
    padded = np.pad(scores_KHW, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    around = np.max(
        [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)],
        axis=0,
    )
    peaks = np.flatnonzero((scores_KHW == around) & (scores_KHW >= max(least, FAINTEST)))
    flat = scores_KHW.reshape(-1)
    peaks = peaks[np.argsort(-flat[peaks], kind="stable")][:MAX_PEAKS]
    label, place = np.divmod(peaks, height * width)
    boxes = boxes_4HW.reshape(4, -1)[:, place].T.astype(np.float64)
    found = Detection(boxes, flat[peaks].astype(np.float64), label.astype(np.int64))
    kept = _distinct(found, overlap)[:most]
    return Detection(found.boxes[kept], found.confidence[kept], found.label[kept])


def _distinct(found: Detection, overlap: float) -> np.ndarray:
    """Which to keep. Boxes of different classes are moved apart, so that all classes are done at once."""
    extent = found.boxes.max(initial=0) - found.boxes.min(initial=0) + 1
    likeness = overlaps(found.boxes + found.label[:, None] * extent, found.boxes + found.label[:, None] * extent)
    kept = np.ones(len(likeness), dtype=bool)
    for index in range(len(likeness)):
        if kept[index]:
            kept[index + 1 :] &= likeness[index, index + 1 :] <= overlap
    return np.flatnonzero(kept)


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union [n, m] of boxes [n, 4] and [m, 4]; 0 where both are empty."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0))


def evaluate(
    found: Sequence[Detection],
    true: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    sizes: np.ndarray,
    classes: Sequence[str],
    train: Sequence[tuple[np.ndarray, np.ndarray]] | None,
) -> Evaluation:
    """Average precision of what was `found` in each picture, beside boxes [m, 4] and labels [m] that are `true`.

    Boxes are shares of the picture, `sizes` float [N, 2] its width and height. The baseline tiles every picture with
    the mean box of each class, as sure as training pictures show that class.
    """
    scale = np.concatenate([sizes, sizes], axis=1).astype(np.float64)
    metrics, per_class = _precision(found, true, scale, classes)
    baseline: dict[str, float] = {}
    if train is not None:
        tiled = _tiled(train)
        baseline, _ = _precision([tiled] * len(true), true, scale, classes)
    extra = {"classes": list(classes), "per_class": per_class, "errors": _errors(found, true, scale, classes)}
    return Evaluation(metrics=metrics, baseline=baseline, extra=extra)


def _precision(
    found: Sequence[Detection], true: Sequence[tuple[np.ndarray, np.ndarray]], scale: np.ndarray, classes: Sequence[str]
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    support = np.bincount(np.concatenate([label for _, label in true]), minlength=len(classes))
    # [overlaps asked, classes]: not a number where a class has no object, nothing where none was found.
    average = np.where(support > 0, np.zeros((10, len(classes))), np.nan)
    if support.any() and any(len(each.label) for each in found):
        average = _average_precision(found, true, scale, len(classes))
    rows = [
        {"label": name, "map": _mean(average[:, code]), "map50": _mean(average[:1, code]), "support": int(count)}
        for code, (name, count) in enumerate(zip(classes, support, strict=True))
    ]
    return {"map": _mean(average) or 0.0, "map50": _mean(average[:1]) or 0.0}, rows


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _average_precision(
    found: Sequence[Detection], true: Sequence[tuple[np.ndarray, np.ndarray]], scale: np.ndarray, classes: int
) -> np.ndarray:
    # Only who judges needs it.
    from faster_coco_eval import COCO, COCOeval_faster

    there: list[dict[str, Any]] = [
        {"image_id": row, "category_id": int(code) + 1, "bbox": _corner_and_size(box), "iscrowd": 0}
        for row, (boxes, labels) in enumerate(true)
        for box, code in zip(boxes * scale[row], labels, strict=True)
    ]
    answers = [
        {"image_id": row, "category_id": int(code) + 1, "bbox": _corner_and_size(box), "score": float(score)}
        for row, each in enumerate(found)
        for box, score, code in zip(each.boxes * scale[row], each.confidence, each.label, strict=True)
    ]
    for number, each in enumerate(there, start=1):
        each.update(id=number, area=each["bbox"][2] * each["bbox"][3])
    data = {
        "images": [{"id": row} for row in range(len(true))],
        "annotations": there,
        "categories": [{"id": code + 1, "name": str(code)} for code in range(classes)],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        known = COCO(data)
        judged = COCOeval_faster(known, known.loadRes(answers), "bbox", print_function=lambda *_: None)
        judged.params.maxDets = [1, 10, MAX_DETECTIONS]
        judged.evaluate()
        judged.accumulate()
    # [overlaps, recalls, classes, areas, most]: all areas, most objects; -1 where a class has no object.
    precision = np.asarray(judged.eval["precision"])[:, :, :, 0, -1]
    return np.asarray(np.where(precision >= 0, precision, np.nan).mean(axis=1))


def _corner_and_size(box: np.ndarray) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def _tiled(train: Sequence[tuple[np.ndarray, np.ndarray]]) -> Detection:
    """Boxes of the mean size of each class side by side, as sure as the share of pictures that show the class."""
    boxes = np.concatenate([boxes for boxes, _ in train])
    label = np.concatenate([label for _, label in train])
    tiles, confidence, codes = [], [], []
    for code in np.unique(label):
        size = (boxes[label == code][:, 2:] - boxes[label == code][:, :2]).mean(axis=0)
        counts = np.ceil(1 / size.clip(0.1, 1)).astype(int)  # at most ten by ten, which are all that is judged
        across, down = ((np.arange(count) + 0.5) / count for count in counts)
        middles = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
        tiles.append(np.concatenate([middles - size / 2, middles + size / 2], axis=1))
        confidence += [sum(code in each for _, each in train) / len(train)] * len(middles)
        codes += [code] * len(middles)
    order = np.argsort(-np.array(confidence), kind="stable")
    return Detection(np.concatenate(tiles)[order], np.array(confidence)[order], np.array(codes, dtype=np.int64)[order])


def _errors(
    found: Sequence[Detection], true: Sequence[tuple[np.ndarray, np.ndarray]], scale: np.ndarray, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """False boxes it was surest of, then the largest objects it missed; `index` counts from 0 in the split."""
    false: list[dict[str, Any]] = []
    missed: list[dict[str, Any]] = []
    for row, (each, (boxes, labels)) in enumerate(zip(found, true, strict=True)):
        likeness = overlaps(each.boxes, boxes)
        free = np.ones(len(boxes), dtype=bool)
        for index, code in enumerate(each.label):
            fitting = np.flatnonzero(free & (labels == code) & (likeness[index] >= ENOUGH_OVERLAP))
            if len(fitting):
                free[fitting[likeness[index, fitting].argmax()]] = False
                continue
            error = {"index": row, "error": "false_box", "predicted": classes[code]}
            error |= {"confidence": float(each.confidence[index]), "box": (each.boxes[index] * scale[row]).tolist()}
            nearest = likeness[index].argmax() if len(boxes) else None
            if nearest is not None and likeness[index, nearest] >= ENOUGH_OVERLAP:
                error["label"] = classes[labels[nearest]]
            false.append(error)
        missed += [
            {"index": row, "error": "missed", "label": classes[labels[at]], "box": (boxes[at] * scale[row]).tolist()}
            for at in np.flatnonzero(free)
        ]
    false.sort(key=lambda error: -error["confidence"])
    missed.sort(key=lambda error: -_area(error["box"]))
    return [*false[: MOST_ERRORS // 2], *missed[: MOST_ERRORS // 2]]


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
