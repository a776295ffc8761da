import numpy as np
import pytest

from ml.metrics.detection import Detection, evaluate, overlaps, pick

CLASSES = ["cat", "dog"]


def grid(**peaks):
    """Scores [2, 5, 5] with peaks, and everywhere a box of two places around."""
    scores = np.zeros((2, 5, 5))
    for name, (row, column, score) in peaks.items():
        scores[CLASSES.index(name.rstrip("0123456789")), row, column] = score
    y, x = np.indices((5, 5)) + 0.5
    return scores, np.stack([x - 1, y - 1, x + 1, y + 1]) / 5


def found(boxes, confidence, label):
    return Detection(np.array(boxes, dtype=float).reshape(-1, 4), np.array(confidence), np.array(label, dtype=np.int64))


def picked(*grids, least=0.3, most=10, overlap=0.5):
    return pick(*grids, least=least, most=most, overlap=overlap)


def test_peaks_are_found_surest_first_with_the_box_at_their_place():
    answer = picked(*grid(cat=(1, 1, 0.6), dog=(3, 4, 0.9)))

    assert answer.label.tolist() == [1, 0]
    assert answer.confidence.tolist() == [0.9, 0.6]
    np.testing.assert_allclose(answer.boxes, [[0.7, 0.5, 1.1, 0.9], [0.1, 0.1, 0.5, 0.5]])


def test_what_is_less_sure_than_asked_or_beside_a_peak_is_none():
    scores, boxes = grid(cat=(2, 2, 0.8), cat2=(2, 3, 0.7), cat3=(0, 0, 0.2))

    assert picked(scores, boxes).confidence.tolist() == [0.8]
    assert picked(scores, boxes, least=0).confidence.tolist() == [0.8, 0.2]
    assert picked(scores, boxes, least=0, most=1).confidence.tolist() == [0.8]


def test_of_two_boxes_on_one_object_the_surer_stays_but_classes_do_not_hide_each_other():
    scores, boxes = grid(cat=(2, 1, 0.8), cat2=(2, 3, 0.7), dog=(2, 2, 0.6))
    boxes[:] = np.array([0.1, 0.1, 0.9, 0.9])[:, None, None]

    assert picked(scores, boxes).confidence.tolist() == [0.8, 0.6]
    assert picked(scores, boxes, overlap=1).confidence.tolist() == [0.8, 0.7, 0.6]


def test_a_picture_without_objects_has_none():
    assert len(picked(*grid()).label) == 0


def test_overlap_is_intersection_over_union():
    one = np.array([[0, 0, 2, 2], [5, 5, 5, 5]])
    other = np.array([[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 5, 5]])

    np.testing.assert_allclose(overlaps(one, other), [[1 / 7, 1, 0], [0, 0, 0]])


def test_a_table_of_what_was_found_survives_padding():
    each = found([[0.1, 0.2, 0.3, 0.4]], [0.9], [1])

    again = Detection.of_table(np.concatenate([each.as_table(), np.zeros((2, 6))]))

    np.testing.assert_array_equal(again.boxes, each.boxes)
    assert (again.confidence.tolist(), again.label.tolist()) == ([0.9], [1])


TRUE = [
    (np.array([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9]]), np.array([0, 1])),
    (np.array([[0.2, 0.2, 0.6, 0.6]]), np.array([0])),
]
SIZES = np.array([[100, 50], [100, 50]])


def judged(*answers):
    return evaluate(answers, TRUE, sizes=SIZES, classes=CLASSES, train=TRUE)


def test_what_is_right_scores_one_and_what_finds_nothing_zero():
    right = [found(boxes, [0.9] * len(boxes), labels) for boxes, labels in TRUE]
    nothing = found([], [], [])

    assert judged(*right).metrics == {"map": 1, "map50": 1}
    assert judged(*right).extra["errors"] == []
    missed = judged(nothing, nothing)
    assert missed.metrics == {"map": 0, "map50": 0}
    assert [error["error"] for error in missed.extra["errors"]] == ["missed"] * 3
    assert missed.extra["errors"][0]["box"] == pytest.approx([50, 25, 90, 45])


def test_a_box_a_little_beside_counts_at_low_overlaps_only():
    aside = np.array([0.02, 0, 0.02, 0])
    moved = [found(boxes + aside, [0.9] * len(boxes), labels) for boxes, labels in TRUE]

    metrics = judged(*moved).metrics

    # Moved by a tenth or a twentieth of their width the boxes overlap by 0.82 and 0.90: not enough for the last steps.
    assert metrics["map50"] == 1
    assert 0.6 < metrics["map"] < 0.95


def test_the_average_is_over_classes_and_a_class_that_is_not_there_does_not_count():
    only_cats = [found(boxes[labels == 0], [0.9], [0]) for boxes, labels in TRUE]

    half = judged(*only_cats)
    of_one = evaluate(only_cats[1:], TRUE[1:], sizes=SIZES[1:], classes=CLASSES, train=None)

    assert half.metrics["map50"] == pytest.approx(0.5)
    assert [row["map50"] for row in half.extra["per_class"]] == [1, 0]
    assert of_one.metrics["map50"] == 1
    assert [row["map50"] for row in of_one.extra["per_class"]] == [1, None]
    assert of_one.baseline == {}


def test_a_false_box_says_what_it_lies_on():
    wrong = found([[0.5, 0.5, 0.9, 0.9], [0.0, 0.6, 0.1, 0.7]], [0.8, 0.6], [0, 1])

    first, second, *missed = judged(wrong, found([], [], [])).extra["errors"]

    assert (first["predicted"], first["label"], first["confidence"]) == ("cat", "dog", 0.8)
    assert second["predicted"] == "dog"
    assert "label" not in second
    assert [error["error"] for error in missed] == ["missed"] * 3


def test_the_baseline_tiles_pictures_with_boxes_of_the_mean_size():
    # A picture that four boxes of the mean size fill exactly is what the baseline is right on.
    quarters = np.array([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    true = [(quarters, np.zeros(4, dtype=np.int64))]

    found = evaluate([Detection.of_table(np.zeros((0, 6)))], true, sizes=SIZES[:1], classes=CLASSES, train=true)

    assert found.baseline == {"map": 1, "map50": 1}
    assert found.baseline.keys() == found.metrics.keys()
