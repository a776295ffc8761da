"""Mean average precision (mAP) of object detection.

A box is x1, y1, x2, y2. n detections, m true objects. Crowds, regions of objects without annotations of their own, are
not judged, as in pycocotools: they are no objects to find, any number of detections may lie in one, and those that do
count as neither right nor wrong.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.metrics.base import Evaluation, Metric
from ml.metrics.non_maximum_suppression import Detection, pairwise_iou

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Detections of an image that are evaluated, those with the highest confidence (as COCO does).
MAX_DETECTIONS: Final = 100
#: Intersection over union from which a detection matches an object, for the list of errors.
MATCH_IOU: Final = 0.5
#: Confidence from which a request gets objects by default.
DEFAULT_CONFIDENCE: Final = 0.3
MAX_ERRORS: Final = 20

#: Fraction of a detection's area within a crowd from which it is not in the list of errors.
CROWD_OVERLAP: Final = 0.5

METRICS: Final[Mapping[str, Metric]] = {
    "map": Metric(
        "Average precision (COCO's AP), mean over classes and over IoU thresholds 0.50, 0.55 to 0.95; every class "
        "counts once",
        True,
    ),
    "map50": Metric(
        "Mean over classes of the average precision at an IoU (intersection over union) threshold of 0.5", True
    ),
}


@dataclass(frozen=True, slots=True)
class TrueObjects:
    """Annotated objects of one image.

    `boxes` float [m, 4], `label` int64 [m], class codes, and `is_crowd` bool [m].
    """

    boxes: np.ndarray
    label: np.ndarray
    is_crowd: np.ndarray

    def select(self, mask: np.ndarray) -> TrueObjects:
        """Return the objects where `mask`, bool [m], is true."""
        return TrueObjects(self.boxes[mask], self.label[mask], self.is_crowd[mask])

    @property
    def objects(self) -> TrueObjects:
        """The objects that are no crowds."""
        return self.select(~self.is_crowd)


def evaluate(
    detections: Sequence[Detection],
    true: Sequence[TrueObjects],
    *,
    sizes: np.ndarray,
    classes: Sequence[str],
    train: Sequence[TrueObjects] | None,
) -> Evaluation:
    """Compute the average precision of the detections of each image.

    `true` holds the objects of each image. Boxes are fractions of the image, `sizes` float [N, 2] its width and height.
    The baseline tiles every image with the mean box of each class, with the fraction of training
    images that have the class as confidence.
    """
    scale = np.concatenate([sizes, sizes], axis=1).astype(np.float64)
    metrics, per_class = _precision(detections, true, scale, classes)
    baseline: dict[str, float] = {}
    if train is not None:
        tiles = _tile_mean_boxes([image.objects for image in train])
        baseline, _ = _precision([tiles] * len(true), true, scale, classes)
    errors, counts = _match(detections, true, scale, classes)
    extra = {"classes": list(classes), "per_class": per_class, "errors": errors, "at_confidence": counts}
    return Evaluation(metrics=metrics, baseline=baseline, extra=extra)


def _precision(
    detections: Sequence[Detection],
    true: Sequence[TrueObjects],
    scale: np.ndarray,
    classes: Sequence[str],
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    support = np.bincount(np.concatenate([image.objects.label for image in true]), minlength=len(classes))
    # [IoU thresholds, classes]: NaN for a class without objects, 0 without detections.
    average = np.where(support > 0, np.zeros((10, len(classes))), np.nan)
    if support.any() and any(len(detection.label) for detection in detections):
        average = _average_precision(detections, true, scale, len(classes))
    rows = [
        {"label": name, "map": _mean(average[:, code]), "map50": _mean(average[:1, code]), "support": int(count)}
        for code, (name, count) in enumerate(zip(classes, support, strict=True))
    ]
    return {"map": _mean(average) or 0.0, "map50": _mean(average[:1]) or 0.0}, rows


def _mean(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None


def _average_precision(
    detections: Sequence[Detection],
    true: Sequence[TrueObjects],
    scale: np.ndarray,
    classes: int,
) -> np.ndarray:
    # Imported here: only evaluation needs it.
    from faster_coco_eval import COCO, COCOeval_faster

    annotations: list[dict[str, Any]] = [
        {"image_id": row, "category_id": int(code) + 1, "bbox": _corner_and_size(box), "iscrowd": int(is_crowd)}
        for row, image in enumerate(true)
        for box, code, is_crowd in zip(image.boxes * scale[row], image.label, image.is_crowd, strict=True)
    ]
    results = [
        {"image_id": row, "category_id": int(code) + 1, "bbox": _corner_and_size(box), "score": float(score)}
        for row, detection in enumerate(detections)
        for box, score, code in zip(detection.boxes * scale[row], detection.confidence, detection.label, strict=True)
    ]
    for number, annotation in enumerate(annotations, start=1):
        annotation.update(id=number, area=annotation["bbox"][2] * annotation["bbox"][3])
    data = {
        "images": [{"id": row} for row in range(len(true))],
        "annotations": annotations,
        "categories": [{"id": code + 1, "name": str(code)} for code in range(classes)],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        truth = COCO(data)
        evaluator = COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=lambda *_: None)
        evaluator.params.maxDets = [1, 10, MAX_DETECTIONS]
        evaluator.evaluate()
        evaluator.accumulate()
    # [IoU thresholds, recalls, classes, areas, limits]: all areas, highest limit; -1 for a class without objects.
    precision = np.asarray(evaluator.eval["precision"])[:, :, :, 0, -1]
    return np.asarray(np.where(precision >= 0, precision, np.nan).mean(axis=1))


def _corner_and_size(box: np.ndarray) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def _tile_mean_boxes(train: Sequence[TrueObjects]) -> Detection:
    """Return boxes of the mean size of each class side by side, covering the image.

    The confidence is the fraction of training images that have the class.
    """
    boxes = np.concatenate([image.boxes for image in train])
    label = np.concatenate([image.label for image in train])
    if not len(label):
        return Detection(boxes, np.zeros(0), label)
    tiles, confidence, codes = [], [], []
    for code in np.unique(label):
        size = (boxes[label == code][:, 2:] - boxes[label == code][:, :2]).mean(axis=0)
        counts = np.ceil(1 / size.clip(0.1, 1)).astype(int)  # at most ten by ten, as many as are evaluated
        across, down = ((np.arange(count) + 0.5) / count for count in counts)
        middles = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
        tiles.append(np.concatenate([middles - size / 2, middles + size / 2], axis=1))
        confidence += [sum(code in image.label for image in train) / len(train)] * len(middles)
        codes += [code] * len(middles)
    order = np.argsort(-np.array(confidence), kind="stable")
    return Detection(np.concatenate(tiles)[order], np.array(confidence)[order], np.array(codes, dtype=np.int64)[order])


def _match(
    detections: Sequence[Detection],
    true: Sequence[TrueObjects],
    scale: np.ndarray,
    classes: Sequence[str],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the false boxes of highest confidence, the largest missed objects, and counts.

    `index` counts from 0 in the split. The counts are those at the confidence that a request has by default: objects,
    those detected, and false boxes.
    """
    false: list[dict[str, Any]] = []
    missed: list[dict[str, Any]] = []
    detected = 0
    for row, (detection, image) in enumerate(zip(detections, true, strict=True)):
        boxes, labels = image.objects.boxes, image.objects.label
        iou = pairwise_iou(detection.boxes, boxes)
        is_unjudged = _are_in_crowd(detection, image.select(image.is_crowd))
        is_free = np.ones(len(boxes), dtype=bool)
        for index, code in enumerate(detection.label):
            matches = np.flatnonzero(is_free & (labels == code) & (iou[index] >= MATCH_IOU))
            if len(matches):
                is_free[matches[iou[index, matches].argmax()]] = False
                detected += int(detection.confidence[index] >= DEFAULT_CONFIDENCE)
                continue
            if is_unjudged[index]:
                continue
            box = (detection.boxes[index] * scale[row]).tolist()
            error = {"index": row, "error": "false_box", "predicted": classes[code]}
            error |= {"confidence": float(detection.confidence[index]), "box": box}
            nearest = iou[index].argmax() if len(boxes) else None
            if nearest is not None and iou[index, nearest] >= MATCH_IOU:
                error["label"] = classes[labels[nearest]]
            false.append(error)
        missed += [
            {
                "index": row,
                "error": "missed",
                "label": classes[labels[position]],
                "box": (boxes[position] * scale[row]).tolist(),
            }
            for position in np.flatnonzero(is_free)
        ]
    false.sort(key=lambda error: -error["confidence"])
    missed.sort(key=lambda error: -_area(error["box"]))
    counts = {
        "confidence": DEFAULT_CONFIDENCE,
        "objects": sum(len(image.objects.label) for image in true),
        "detected": detected,
        "false_boxes": sum(error["confidence"] >= DEFAULT_CONFIDENCE for error in false),
    }
    return [*false[: MAX_ERRORS // 2], *missed[: MAX_ERRORS // 2]], counts


def _are_in_crowd(detection: Detection, crowds: TrueObjects) -> np.ndarray:
    """Return whether detections, bool [n], lie in a crowd of their class."""
    low = np.maximum(detection.boxes[:, None, :2], crowds.boxes[None, :, :2])
    high = np.minimum(detection.boxes[:, None, 2:], crowds.boxes[None, :, 2:])
    areas = (detection.boxes[:, 2:] - detection.boxes[:, :2]).prod(axis=1)
    is_inside = (high - low).clip(0).prod(axis=2) >= CROWD_OVERLAP * areas[:, None]
    return np.asarray((is_inside & (detection.label[:, None] == crowds.label)).any(axis=1))


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
