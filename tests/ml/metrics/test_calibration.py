"""Reliability against scikit-learn, and sets of labels on rows that were not calibrated on."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from ml.errors import InputError
from ml.metrics.calibration import (
    BINS,
    CALIBRATION,
    MAX_SCORES,
    Calibration,
    add_label_sets,
    check_coverage,
    measure_label_sets,
    measure_reliability,
    to_probabilities,
)
from ml.metrics.classification import evaluate, to_outputs
from ml.metrics.temperature import MAX_TEMPERATURE, fit_temperature

CLASSES = tuple("abcde")


def draw(rows, *, overconfidence, seed):
    """Draw logits, and labels with the probabilities that the logits would have without the overconfidence."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2, size=(rows, len(CLASSES)))
    probabilities = to_probabilities(logits, 1.0)
    label = (probabilities.cumsum(axis=1) < generator.random(rows)[:, None]).sum(axis=1)
    return (overconfidence * logits).astype(np.float32), np.minimum(label, len(CLASSES) - 1)


def test_the_bins_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    confidence = generator.random(3000)
    is_right = generator.random(3000) < confidence**2

    section = measure_reliability(confidence, is_right)

    accuracy, mean = calibration_curve(is_right, confidence, n_bins=BINS)
    assert [row["accuracy"] for row in section["bins"]] == pytest.approx(list(accuracy))
    assert [row["confidence"] for row in section["bins"]] == pytest.approx(list(mean))
    counts = np.array([row["count"] for row in section["bins"]])
    assert counts.sum() == 3000
    assert section["ece"] == pytest.approx((np.abs(accuracy - mean) * counts).sum() / 3000)


def test_a_confidence_of_one_is_in_the_last_bin_and_empty_bins_are_left_out():
    section = measure_reliability(np.array([1.0, 1.0, 0.5]), np.array([True, False, True]))

    assert [row["count"] for row in section["bins"]] == [1, 2]
    assert section["ece"] == pytest.approx((0.5 + 2 * 0.5) / 3)


@pytest.mark.parametrize("overconfidence", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_overconfidence(overconfidence):
    logits, label = draw(4000, overconfidence=overconfidence, seed=1)

    temperature = fit_temperature(logits, label)

    # The standard error of the temperature of 4000 rows is about 2 %.
    assert temperature == pytest.approx(overconfidence, rel=0.08)
    unseen, unseen_label = draw(4000, overconfidence=overconfidence, seed=2)
    reliability = [
        measure_reliability(to_probabilities(unseen, value).max(axis=1), unseen.argmax(axis=1) == unseen_label)["ece"]
        for value in (1.0, temperature)
    ]
    assert reliability[1] < 0.03
    assert overconfidence == 1 or reliability[1] < reliability[0] / 2


def test_few_rows_without_a_mistake_ask_for_no_certainty():
    logits = 3.0 * np.eye(5, dtype=np.float32)

    temperature = fit_temperature(logits, np.arange(5))

    # Without the prior it would be the lower limit, 1 / 20.
    assert 5 / MAX_TEMPERATURE < temperature < 1


def test_no_temperature_changes_a_label():
    logits = np.array([[2.0, 2.0, 0.0], [1.0, 1.0 + 1e-7, 0.0], [-800.0, 800.0, 0.0]], dtype=np.float32)
    before = [output["label"] for output in to_outputs(logits, ("a", "b", "c"))]

    for temperature in (1 / MAX_TEMPERATURE, 0.3, 7.7, MAX_TEMPERATURE):
        outputs = to_outputs(logits, ("a", "b", "c"), temperature=temperature)
        assert [output["label"] for output in outputs] == before
        assert all(output["confidence"] == max(output["probabilities"].values()) for output in outputs)


@pytest.mark.parametrize("rows", [300, 20_000])
def test_sets_hold_the_true_label_as_often_as_requested(rows):
    calibration = Calibration.measure(*draw(rows, overconfidence=3, seed=3), temperature=3.0)
    logits, label = draw(8000, overconfidence=3, seed=4)

    sections = measure_label_sets(to_probabilities(logits, 3.0), label, calibration, (0.8, 0.9, 0.95))

    assert len(calibration.scores) == min(rows, MAX_SCORES)
    for section in sections:
        # Five standard errors of the rows that set the threshold.
        error = 5 * (section["coverage"] * (1 - section["coverage"]) / rows) ** 0.5
        assert section["measured"] > section["coverage"] - error
        assert 1 <= section["labels"] < len(CLASSES)
    outputs = add_label_sets(to_outputs(logits, CLASSES, temperature=3.0), calibration, 0.9)
    held = [CLASSES[code] in output["label_set"] for code, output in zip(label, outputs, strict=True)]
    assert np.mean(held) == pytest.approx(sections[1]["measured"])
    assert all(output["label_set"][0] == output["label"] for output in outputs)


def test_the_rank_of_a_threshold_is_that_of_split_conformal_prediction():
    calibration = Calibration(temperature=1.0, rows=9, scores=[value / 10 for value in range(1, 10)])

    # 0.9 of 10 is the ninth of nine scores.
    assert calibration.threshold(0.9) == pytest.approx(1 - 0.9)
    assert calibration.threshold(0.55) == pytest.approx(1 - 0.6)
    with pytest.raises(InputError, match=r"9 validation rows, which support a coverage of at most 0\.9, not 0\.95"):
        calibration.threshold(0.95)


def test_a_model_without_calibration_has_no_sets_and_says_so():
    with pytest.raises(InputError, match="no calibration"):
        add_label_sets([], Calibration.of_state({"labels": ["a", "b"]}), 0.9)


@pytest.mark.parametrize("value", [0, 1, 1.5, -0.1, True, "0.9", None, float("nan")])
def test_a_coverage_is_a_number_between_0_and_1(value):
    with pytest.raises(InputError, match="must be a number above 0 and below 1"):
        check_coverage(value)


def test_the_report_has_the_reliability_before_and_after():
    logits, label = draw(2000, overconfidence=3, seed=5)
    calibration = Calibration.measure(logits, label, temperature=3.0)
    state = {CALIBRATION: calibration.to_json()}
    assert Calibration.of_state(state) == calibration

    plain = evaluate(logits, label, classes=CLASSES, loss="cross_entropy", train=None)
    report = evaluate(logits, label, classes=CLASSES, loss="cross_entropy", train=None, calibration=calibration)

    section = report.extra["calibration"]
    assert section["before"] == plain.extra["calibration"]
    assert section["ece"] < section["before"]["ece"] / 2
    assert (section["temperature"], section["fitted_rows"]) == (3.0, 2000)
    assert report.metrics == plain.metrics
    assert [row["coverage"] for row in report.extra["conformal"]] == [0.8, 0.9, 0.95, 0.99]
