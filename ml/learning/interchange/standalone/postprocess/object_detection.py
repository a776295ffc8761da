"""Objects selected from scores and boxes on a grid.

`scores` [batch, classes, H, W] is the confidence that the center of an object of a class lies at a position of the
grid, `boxes` [batch, 4, H, W] the box of an object there: left, top, right, bottom as fractions of the image. An object
is a position whose score is the highest of the nine around it, and at least `confidence`. A box that overlaps
another of its class and of a higher score by more than `config.overlap` (intersection over union) is dropped; at most
`max_objects` remain. `runtime/non_maximum_suppression.py` selects the boxes.
"""

from __future__ import annotations

from typing import Any, Final

from ml.metrics.non_maximum_suppression import select_boxes

TASKS: Final = ("object_detection",)


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return the objects of each input by falling confidence.

    Boxes are in pixels of the original image.
    """
    outputs = model.run("model", model.encode("image", inputs))
    labels, overlap = model.metadata["labels"], model.metadata["task"]["config"]["overlap"]
    predictions = []
    for raw_input, scores, boxes in zip(inputs, outputs["scores"], outputs["boxes"], strict=True):
        height, width = model.preprocessor("image").decode_pixels(raw_input).shape[:2]
        limits = {"min_score": raw_input["confidence"], "max_boxes": raw_input["max_objects"], "max_iou": overlap}
        detection = select_boxes(scores, boxes, **limits)
        pixel_boxes = (detection.boxes.clip(0, 1) * [width, height, width, height]).round(2)
        rows = zip(detection.label.tolist(), detection.confidence.tolist(), pixel_boxes.tolist(), strict=True)
        objects = [{"label": labels[code], "confidence": confidence, "box": box} for code, confidence, box in rows]
        predictions.append({"objects": objects})
    return predictions
