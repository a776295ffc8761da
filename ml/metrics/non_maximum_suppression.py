"""Non-maximum suppression (NMS): object boxes from scores on a grid.

Exported ONNX folders run a copy of this file.

A box is x1, y1, x2, y2. K classes, H height and W width of the grid, n and m boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

#: Scores below are ignored as noise.
MIN_SCORE: Final = 0.01
MAX_PEAKS: Final = 300


@dataclass(frozen=True, slots=True)
class Detection:
    """Detections of one image, by falling confidence.

    `boxes` float [n, 4], `confidence` float [n], `label` int64 [n].
    """

    boxes: np.ndarray
    confidence: np.ndarray
    label: np.ndarray

    def to_table(self) -> np.ndarray:
        """Return float64 [n, 6]: box, confidence, label."""
        return np.column_stack([self.boxes, self.confidence, self.label.astype(np.float64)])

    @classmethod
    def from_table(cls, table: np.ndarray) -> Detection:
        """Make detections from float [n, 6]; rows without confidence are padding."""
        table = table[table[:, 4] > 0]
        return cls(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def select_boxes(
    scores_KHW: np.ndarray, boxes_4HW: np.ndarray, *, min_score: float, max_boxes: int, max_iou: float
) -> Detection:
    """Return the boxes at the peaks of `scores` after non-maximum suppression.

    A box whose IoU with one of its class and of a higher score exceeds `max_iou` is dropped.
    """
    _, height, width = scores_KHW.shape
    padded = np.pad(scores_KHW, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    neighborhood = np.max(
        [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)],
        axis=0,
    )
    peaks = np.flatnonzero((scores_KHW == neighborhood) & (scores_KHW >= max(min_score, MIN_SCORE)))
    flat = scores_KHW.reshape(-1)
    peaks = peaks[np.argsort(-flat[peaks], kind="stable")][:MAX_PEAKS]
    label, position = np.divmod(peaks, height * width)
    boxes = boxes_4HW.reshape(4, -1)[:, position].T.astype(np.float64)
    detection = Detection(boxes, flat[peaks].astype(np.float64), label.astype(np.int64))
    indices = _non_maximum_suppression(detection, max_iou)[:max_boxes]
    return Detection(detection.boxes[indices], detection.confidence[indices], detection.label[indices])


def _non_maximum_suppression(detection: Detection, max_iou: float) -> np.ndarray:
    """Return the indices that remain.

    Boxes of different classes are moved apart, so that all classes are done in one pass.
    """
    extent = detection.boxes.max(initial=0) - detection.boxes.min(initial=0) + 1
    apart = detection.boxes + detection.label[:, None] * extent
    iou = pairwise_iou(apart, apart)
    remains = np.ones(len(iou), dtype=bool)
    for index in range(len(iou)):
        if remains[index]:
            remains[index + 1 :] &= iou[index, index + 1 :] <= max_iou
    return np.flatnonzero(remains)


def pairwise_iou(boxes_n4: np.ndarray, boxes_m4: np.ndarray) -> np.ndarray:
    """Return the intersection over union [n, m] of two lists of boxes.

    `boxes_n4` float [n, 4], `boxes_m4` float [m, 4]; 0 where both boxes are empty.
    """
    low = np.maximum(boxes_n4[:, None, :2], boxes_m4[None, :, :2])
    high = np.minimum(boxes_n4[:, None, 2:], boxes_m4[None, :, 2:])
    intersection = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (boxes_n4, boxes_m4)]
    union = areas[0][:, None] + areas[1][None] - intersection
    return np.asarray(np.divide(intersection, union, out=np.zeros(intersection.shape), where=union > 0))
