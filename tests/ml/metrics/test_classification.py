"""Against scikit-learn, and against numbers worked out by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from ml.data.rows import Labels
from ml.errors import DataError
from ml.metrics.classification import MAX_ERRORS, METRICS, encode_labels, evaluate, to_outputs

CLASSES = tuple("abcdefgh")


@pytest.fixture(scope="module")
def predictions():
    """Rows that are mostly right; class `h` has no rows and `g` is never predicted."""
    generator = np.random.default_rng(7)
    label = generator.integers(0, 7, size=400)
    logits = generator.normal(size=(400, len(CLASSES)))
    logits[np.arange(400), label] += 1.5
    logits[:, 6] = -9
    return logits.astype(np.float32), label


def evaluate_predictions(predictions, *, loss="cross_entropy", train=None):
    return evaluate(*predictions, classes=CLASSES, loss=loss, train=train)


def test_the_metrics_are_scikit_learns(predictions):
    logits, label = predictions
    predicted = logits.argmax(axis=1)
    there = np.unique(label)

    metrics = evaluate_predictions(predictions).metrics

    assert metrics["accuracy"] == pytest.approx(reference.accuracy_score(label, predicted))
    f1 = reference.f1_score(label, predicted, labels=there, average="macro", zero_division=0)
    assert metrics["macro_f1"] == pytest.approx(f1)
    top5 = reference.top_k_accuracy_score(label, logits, k=5, labels=range(8))
    assert metrics["top5_accuracy"] == pytest.approx(top5)
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    assert metrics["loss"] == pytest.approx(reference.log_loss(label, probabilities, labels=range(8)))
    assert metrics.keys() == METRICS.keys()


def test_per_class_and_confusion_are_scikit_learns(predictions):
    logits, label = predictions
    extra = evaluate_predictions(predictions).extra
    expected = reference.precision_recall_fscore_support(label, logits.argmax(axis=1), labels=range(8), zero_division=0)

    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [row[name] for row in extra["per_class"]] == pytest.approx(list(values))
    assert [row["label"] for row in extra["per_class"]] == list(CLASSES)
    matrix = reference.confusion_matrix(label, logits.argmax(axis=1), labels=range(8))
    assert extra["confusion_matrix"] == matrix.tolist()


def test_mean_squared_error_is_briers(predictions):
    logits, label = predictions
    exponentials = np.exp(logits.astype(float))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    target = np.eye(8)[label]

    loss = evaluate_predictions(predictions, loss="mean_squared_error").metrics["loss"]

    assert loss == pytest.approx(np.square(probabilities - target).sum(axis=1).mean())


def test_the_worst_errors_are_the_wrong_rows_of_highest_confidence():
    logits = np.array([[0.0, 5.0], [0.0, 1.0], [9.0, 0.0], [0.0, 3.0]])
    label = np.array([0, 0, 0, 1])

    errors = evaluate(logits, label, classes=("a", "b"), loss="cross_entropy", train=None).extra["errors"]

    assert [error["index"] for error in errors] == [0, 1]
    assert errors[0]["label"] == "a"
    assert errors[0]["predicted"] == "b"
    assert errors[0]["confidence"] == pytest.approx(1 / (1 + np.exp(-5)))
    assert errors[0]["loss"] == pytest.approx(np.log1p(np.exp(5)))


def test_errors_are_capped():
    logits = np.tile([0.0, 1.0], (100, 1))

    extra = evaluate(logits, np.zeros(100, dtype=int), classes=("a", "b"), loss="cross_entropy", train=None).extra

    assert len(extra["errors"]) == MAX_ERRORS


def test_two_classes_have_no_top_five():
    logits = np.array([[1.0, 0.0]])

    evaluation = evaluate(logits, np.array([0]), classes=("a", "b"), loss="cross_entropy", train=np.array([0, 1]))

    assert "top5_accuracy" not in evaluation.metrics
    assert "top5_accuracy" not in evaluation.baseline


def test_the_baseline_is_the_most_frequent_class_of_training_for_every_metric(predictions):
    _, label = predictions
    train = np.array([2] * 50 + [0] * 30 + [1] * 20)

    evaluation = evaluate_predictions(predictions, train=train)

    assert evaluation.baseline.keys() == evaluation.metrics.keys()
    assert evaluation.baseline["accuracy"] == pytest.approx((label == 2).mean())
    f1 = reference.f1_score(label, np.full(400, 2), labels=np.unique(label), average="macro", zero_division=0)
    assert evaluation.baseline["macro_f1"] == pytest.approx(f1)
    # The three classes of training, then the first two of the others.
    assert evaluation.baseline["top5_accuracy"] == pytest.approx(np.isin(label, [0, 1, 2, 3, 4]).mean())
    frequencies = np.array([31, 21, 51, 1, 1, 1, 1, 1]) / 108
    assert evaluation.baseline["loss"] == pytest.approx(-np.log(frequencies[label]).mean())


def test_the_interval_is_wilsons():
    logits = np.array([[1.0, 0.0]] * 10)
    label = np.array([0] * 9 + [1])

    low, high = evaluate(logits, label, classes=("a", "b"), loss="cross_entropy", train=None).intervals["accuracy"]

    # Brown, Cai & DasGupta 2001: 9 of 10 gives 0.5958 to 0.9821.
    assert (low, high) == (pytest.approx(0.5958, abs=1e-4), pytest.approx(0.9821, abs=1e-4))


def test_many_classes_get_no_confusion_matrix():
    logits = np.zeros((1, 501))

    extra = evaluate(
        logits, np.array([0]), classes=[str(number) for number in range(501)], loss="cross_entropy", train=None
    )

    assert extra.extra["confusion_matrix"] is None
    assert len(extra.extra["per_class"]) == 501


def test_huge_logits_stay_numbers():
    evaluation = evaluate(
        np.array([[1e6, 0.0], [0.0, 1e6]], dtype=np.float32),
        np.array([0, 0]),
        classes=("a", "b"),
        loss="cross_entropy",
        train=None,
    )

    assert evaluation.metrics["loss"] == pytest.approx(5e5)


def test_probabilities_sum_to_one_and_the_first_of_equals_wins():
    (answer,) = to_outputs(np.array([[2.0, 2.0, 0.0]]), ("a", "b", "c"))

    assert answer["label"] == "a"
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["confidence"] == answer["probabilities"]["a"] == answer["probabilities"]["b"]


def test_encoding_coded_labels_equals_encoding_plain_ones():
    coded = Labels(np.array([2, 0, 2], dtype=np.int32), ["x", "unused", "y"])

    assert encode_labels(coded, ("y", "x")).tolist() == [0, 1, 0]
    assert encode_labels(["y", "x", "y"], ("y", "x")).tolist() == [0, 1, 0]
    assert encode_labels(coded, ("y", "x")).dtype == np.int64


@pytest.mark.parametrize("labels", [["a", "z"], Labels(np.array([0, 1]), ["a", "z"])])
def test_an_unknown_label_is_named(labels):
    with pytest.raises(DataError, match="has no class 'z'; its classes are a, b"):
        encode_labels(labels, ("a", "b"))


def test_a_class_that_was_predicted_but_does_not_occur_is_noted_with_the_value_of_scikit_learn():
    label, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    evaluation = evaluate(np.eye(3)[predicted] * 9, label, classes="abc", loss="cross_entropy", train=None)

    default = reference.f1_score(label, predicted, average="macro", zero_division=0)
    assert evaluation.metrics["macro_f1"] == pytest.approx(5 / 6)
    assert default == pytest.approx(5 / 9)
    (note,) = evaluation.notes
    assert "leaves out 1 of 3 classes, which no row of the split has: 'c'" in note
    assert note.endswith(f"gives {default:.4g}")


def test_a_class_that_neither_occurs_nor_is_predicted_is_noted_without_another_value():
    label = np.array([0, 1])
    evaluation = evaluate(np.eye(9)[label] * 9, label, classes="abcdefghi", loss="cross_entropy", train=None)

    (note,) = evaluation.notes
    assert note.endswith("'c', 'd', 'e', 'f', 'g' and 2 more")
    assert evaluation.metrics["macro_f1"] == reference.f1_score(label, label, average="macro") == 1


def test_a_split_with_all_classes_has_no_note():
    label = np.array([0, 1])
    assert evaluate(np.eye(2), label, classes="ab", loss="cross_entropy", train=None).notes == []
