import numpy as np
import pytest

from ml.metrics.detection import evaluate
from ml.metrics.non_maximum_suppression import Detection

CLASSES = ["cat", "dog"]


def detections(boxes, confidence, label):
    return Detection(np.array(boxes, dtype=float).reshape(-1, 4), np.array(confidence), np.array(label, dtype=np.int64))


TRUE = [
    (np.array([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9]]), np.array([0, 1])),
    (np.array([[0.2, 0.2, 0.6, 0.6]]), np.array([0])),
]
SIZES = np.array([[100, 50], [100, 50]])


def evaluate_boxes(*answers):
    return evaluate(answers, TRUE, sizes=SIZES, classes=CLASSES, train=TRUE)


def test_correct_boxes_score_one_and_no_boxes_score_zero():
    right = [detections(boxes, [0.9] * len(boxes), labels) for boxes, labels in TRUE]
    nothing = detections([], [], [])

    assert evaluate_boxes(*right).metrics == {"map": 1, "map50": 1}
    assert evaluate_boxes(*right).extra["errors"] == []
    missed = evaluate_boxes(nothing, nothing)
    assert missed.metrics == {"map": 0, "map50": 0}
    assert [error["error"] for error in missed.extra["errors"]] == ["missed"] * 3
    assert missed.extra["errors"][0]["box"] == pytest.approx([50, 25, 90, 45])


def test_a_box_a_little_beside_counts_at_low_overlaps_only():
    aside = np.array([0.02, 0, 0.02, 0])
    moved = [detections(boxes + aside, [0.9] * len(boxes), labels) for boxes, labels in TRUE]

    metrics = evaluate_boxes(*moved).metrics

    # Moved by a tenth or a twentieth of their width the boxes overlap by 0.82 and 0.90: not enough for the last steps.
    assert metrics["map50"] == 1
    assert 0.6 < metrics["map"] < 0.95


def test_the_mean_is_over_the_classes_that_the_split_has():
    only_cats = [detections(boxes[labels == 0], [0.9], [0]) for boxes, labels in TRUE]

    half = evaluate_boxes(*only_cats)
    of_one = evaluate(only_cats[1:], TRUE[1:], sizes=SIZES[1:], classes=CLASSES, train=None)

    assert half.metrics["map50"] == pytest.approx(0.5)
    assert [row["map50"] for row in half.extra["per_class"]] == [1, 0]
    assert of_one.metrics["map50"] == 1
    assert [row["map50"] for row in of_one.extra["per_class"]] == [1, None]
    assert of_one.baseline == {}


def test_a_false_box_names_the_object_under_it():
    wrong = detections([[0.5, 0.5, 0.9, 0.9], [0.0, 0.6, 0.1, 0.7]], [0.8, 0.6], [0, 1])

    first, second, *missed = evaluate_boxes(wrong, detections([], [], [])).extra["errors"]

    assert (first["predicted"], first["label"], first["confidence"]) == ("cat", "dog", 0.8)
    assert second["predicted"] == "dog"
    assert "label" not in second
    assert [error["error"] for error in missed] == ["missed"] * 3


def test_the_baseline_tiles_images_with_boxes_of_the_mean_size():
    # An image that four boxes of the mean size fill exactly is what the baseline is right on.
    quarters = np.array([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    true = [(quarters, np.zeros(4, dtype=np.int64))]

    evaluation = evaluate([Detection.from_table(np.zeros((0, 6)))], true, sizes=SIZES[:1], classes=CLASSES, train=true)

    assert evaluation.baseline == {"map": 1, "map50": 1}
    assert evaluation.baseline.keys() == evaluation.metrics.keys()
