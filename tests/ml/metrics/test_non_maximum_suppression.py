import numpy as np

from ml.metrics.non_maximum_suppression import Detection, pairwise_iou, select_boxes

CLASSES = ["cat", "dog"]


def grid(**peaks):
    """Scores [2, 5, 5] with peaks, and everywhere a box of two places around."""
    scores = np.zeros((2, 5, 5))
    for name, (row, column, score) in peaks.items():
        scores[CLASSES.index(name.rstrip("0123456789")), row, column] = score
    y, x = np.indices((5, 5)) + 0.5
    return scores, np.stack([x - 1, y - 1, x + 1, y + 1]) / 5


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
    table_rows = Detection(np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([0.9]), np.array([1]))

    again = Detection.from_table(np.concatenate([table_rows.to_table(), np.zeros((2, 6))]))

    np.testing.assert_array_equal(again.boxes, table_rows.boxes)
    assert (again.confidence.tolist(), again.label.tolist()) == ([0.9], [1])
