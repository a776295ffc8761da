import numpy as np
import pytest

from ml.metrics.detection import TrueObjects, evaluate
from ml.metrics.non_maximum_suppression import Detection

CLASSES = ["cat", "dog"]


def detections(boxes, confidence, label):
    return Detection(np.array(boxes, dtype=float).reshape(-1, 4), np.array(confidence), np.array(label, dtype=np.int64))


def true_objects(boxes, label, is_crowd=None):
    crowds = np.zeros(len(label), dtype=bool) if is_crowd is None else np.array(is_crowd, dtype=bool)
    return TrueObjects(np.array(boxes, dtype=float).reshape(-1, 4), np.array(label, dtype=np.int64), crowds)


TRUE = [
    true_objects([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9]], [0, 1]),
    true_objects([[0.2, 0.2, 0.6, 0.6]], [0]),
]
SIZES = np.array([[100, 50], [100, 50]])


def evaluate_boxes(*answers):
    return evaluate(answers, TRUE, sizes=SIZES, classes=CLASSES, train=TRUE)


def test_correct_boxes_score_one_and_no_boxes_score_zero():
    right = [detections(image.boxes, [0.9] * len(image.label), image.label) for image in TRUE]
    nothing = detections([], [], [])

    assert evaluate_boxes(*right).metrics == {"map": 1, "map50": 1}
    assert evaluate_boxes(*right).extra["errors"] == []
    missed = evaluate_boxes(nothing, nothing)
    assert missed.metrics == {"map": 0, "map50": 0}
    assert [error["error"] for error in missed.extra["errors"]] == ["missed"] * 3
    assert missed.extra["errors"][0]["box"] == pytest.approx([50, 25, 90, 45])


def test_objects_and_false_boxes_are_counted_at_the_usual_confidence():
    right, unsure = (
        [detections(image.boxes, [confidence] * len(image.label), image.label) for image in TRUE]
        for confidence in (0.9, 0.2)
    )
    assert evaluate_boxes(*right).extra["at_confidence"] == {
        "confidence": 0.3,
        "objects": 3,
        "detected": 3,
        "false_boxes": 0,
    }
    assert evaluate_boxes(*unsure).extra["at_confidence"]["detected"] == 0


def test_a_box_a_little_beside_counts_at_low_overlaps_only():
    aside = np.array([0.02, 0, 0.02, 0])
    moved = [detections(image.boxes + aside, [0.9] * len(image.label), image.label) for image in TRUE]

    metrics = evaluate_boxes(*moved).metrics

    # Moved by a tenth or a twentieth of their width the boxes overlap by 0.82 and 0.90: not enough for the last steps.
    assert metrics["map50"] == 1
    assert 0.6 < metrics["map"] < 0.95


def test_the_mean_is_over_the_classes_that_the_split_has():
    only_cats = [detections(image.boxes[image.label == 0], [0.9], [0]) for image in TRUE]

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
    true = [true_objects(quarters, [0] * 4)]

    evaluation = evaluate([Detection.from_table(np.zeros((0, 6)))], true, sizes=SIZES[:1], classes=CLASSES, train=true)

    assert evaluation.baseline == {"map": 1, "map50": 1}
    assert evaluation.baseline.keys() == evaluation.metrics.keys()


def make_scene(generator, classes):
    """Return random objects, some of them crowds, and detections near them and elsewhere."""
    corners = generator.uniform(0, 0.7, (generator.integers(1, 12), 2))
    boxes = np.concatenate([corners, corners + generator.uniform(0.05, 0.3, corners.shape)], axis=1)
    label = generator.integers(0, classes, len(boxes))
    true = true_objects(boxes, label, generator.random(len(boxes)) < 0.3)
    near = np.repeat(boxes, 3, axis=0) + generator.normal(0, 0.02, (3 * len(boxes), 4))
    inside = np.concatenate([corners + 0.01, corners + 0.04], axis=1)
    guesses = np.concatenate([near, inside]).clip(0, 1)
    order = generator.permutation(len(guesses))
    labels = np.concatenate([np.repeat(label, 3), label])
    return true, detections(guesses[order], generator.random(len(order)).round(3), labels[order])


def judge_with_pycocotools(true, answers, classes):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def to_entry(row, box, code):
        left, top, right, bottom = (box * [100, 50, 100, 50]).tolist()
        box = [left, top, right - left, bottom - top]
        return {"image_id": row, "category_id": int(code) + 1, "bbox": box, "area": box[2] * box[3]}

    annotations = [
        {**to_entry(row, box, code), "iscrowd": int(crowd)}
        for row, image in enumerate(true)
        for box, code, crowd in zip(image.boxes, image.label, image.is_crowd, strict=True)
    ]
    truth = COCO()
    truth.dataset = {
        "images": [{"id": row} for row in range(len(true))],
        "annotations": [{"id": number, **entry} for number, entry in enumerate(annotations, start=1)],
        "categories": [{"id": code + 1} for code in range(classes)],
    }
    truth.createIndex()
    results = [
        {**to_entry(row, box, code), "score": float(score)}
        for row, detection in enumerate(answers)
        for box, score, code in zip(detection.boxes, detection.confidence, detection.label, strict=True)
    ]
    judge = COCOeval(truth, truth.loadRes(results), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return {"map": judge.stats[0], "map50": judge.stats[1]}


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_with_crowds_equals_that_of_pycocotools(seed):
    generator = np.random.default_rng(seed)
    true, answers = zip(*(make_scene(generator, 3) for _ in range(12)), strict=True)

    metrics = evaluate(answers, true, sizes=np.array([[100, 50]] * 12), classes=["a", "b", "c"], train=None).metrics

    assert metrics == pytest.approx(judge_with_pycocotools(true, answers, 3), abs=1e-9)
    assert 0 < metrics["map"] < 1


def test_detections_in_a_crowd_are_neither_right_nor_wrong():
    crowd = true_objects([[0.1, 0.1, 0.2, 0.2], [0.4, 0.4, 0.9, 0.9]], [0, 0], [False, True])
    inside = [[0.4 + step / 10, 0.5, 0.5 + step / 10, 0.6] for step in range(5)]
    answer = detections([*inside, [0.1, 0.1, 0.2, 0.2]], [0.9] * 5 + [0.5], [0] * 6)

    evaluation = evaluate([answer], [crowd], sizes=SIZES[:1], classes=CLASSES, train=[crowd])
    judged = evaluate([answer], [crowd.objects], sizes=SIZES[:1], classes=CLASSES, train=None)

    assert (evaluation.metrics["map"], evaluation.extra["errors"]) == (1, [])
    assert evaluation.extra["per_class"][0]["support"] == 1
    assert judged.metrics["map"] < 0.2
    # The baseline knows the size of the object alone, not that of the crowd.
    assert evaluation.baseline["map50"] < 0.1
