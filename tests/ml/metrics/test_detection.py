import numpy as np
import pytest

from ml.metrics.detection import Detection, evaluate, pairwise_iou, select_boxes

CLASSES = ["cat", "dog"]


def grid(**peaks):
    """Scores [2, 5, 5] with peaks, and everywhere a box of two places around."""
    scores = np.zeros((2, 5, 5))
    for name, (row, column, score) in peaks.items():
        scores[CLASSES.index(name.rstrip("0123456789")), row, column] = score
    y, x = np.indices((5, 5)) + 0.5
    return scores, np.stack([x - 1, y - 1, x + 1, y + 1]) / 5


def detections(boxes, confidence, label):
    return Detection(np.array(boxes, dtype=float).reshape(-1, 4), np.array(confidence), np.array(label, dtype=np.int64))


def select(*grids, min_score=0.3, max_boxes=10, max_iou=0.5):
    return select_boxes(*grids, min_score=min_score, max_boxes=max_boxes, max_iou=max_iou)


def test_peaks_come_by_falling_confidence_with_the_box_at_their_position():
    answer = select(*grid(cat=(1, 1, 0.6), dog=(3, 4, 0.9)))

    assert answer.label.tolist() == [1, 0]
    assert answer.confidence.tolist() == [0.9, 0.6]
    np.testing.assert_allclose(answer.boxes, [[0.7, 0.5, 1.1, 0.9], [0.1, 0.1, 0.5, 0.5]])


def test_scores_below_the_minimum_or_beside_a_peak_give_no_box():
    scores, boxes = grid(cat=(2, 2, 0.8), cat2=(2, 3, 0.7), cat3=(0, 0, 0.2))

    assert select(scores, boxes).confidence.tolist() == [0.8]
    assert select(scores, boxes, min_score=0).confidence.tolist() == [0.8, 0.2]
    assert select(scores, boxes, min_score=0, max_boxes=1).confidence.tolist() == [0.8]


def test_non_maximum_suppression_works_within_each_class():
    scores, boxes = grid(cat=(2, 1, 0.8), cat2=(2, 3, 0.7), dog=(2, 2, 0.6))
    boxes[:] = np.array([0.1, 0.1, 0.9, 0.9])[:, None, None]

    assert select(scores, boxes).confidence.tolist() == [0.8, 0.6]
    assert select(scores, boxes, max_iou=1).confidence.tolist() == [0.8, 0.7, 0.6]


def test_an_image_without_peaks_has_no_boxes():
    assert len(select(*grid()).label) == 0


def test_overlap_is_intersection_over_union():
    boxes = np.array([[0, 0, 2, 2], [5, 5, 5, 5]])
    others = np.array([[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 5, 5]])

    np.testing.assert_allclose(pairwise_iou(boxes, others), [[1 / 7, 1, 0], [0, 0, 0]])


def test_detections_survive_a_padded_table():
    table_rows = detections([[0.1, 0.2, 0.3, 0.4]], [0.9], [1])

    again = Detection.from_table(np.concatenate([table_rows.to_table(), np.zeros((2, 6))]))

    np.testing.assert_array_equal(again.boxes, table_rows.boxes)
    assert (again.confidence.tolist(), again.label.tolist()) == ([0.9], [1])


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
