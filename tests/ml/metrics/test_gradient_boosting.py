"""The reference model learns from the rows of the network, or a sample."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from ml.metrics import gradient_boosting, regression
from ml.metrics.gradient_boosting import Table, class_log_probabilities, fit_reference

GENERATOR = np.random.default_rng(0)
NUMBERS = GENERATOR.normal(size=(300, 2))
CODES = GENERATOR.integers(1, 5, size=(300, 1))
TARGET = NUMBERS[:, 0] + np.where(CODES[:, 0] == 3, 2.0, 0.0)
TABLE = Table(np.where(GENERATOR.random(NUMBERS.shape) < 0.1, np.nan, NUMBERS), CODES)


def fit(train=TABLE, target=TARGET):
    def measure(model, features):
        return regression.measure(model.predict(features), TARGET)

    return fit_reference(train, target, TABLE, classes=None, measure=measure)


def test_the_reference_is_that_of_scikit_learn():
    section = fit()

    model = HistGradientBoostingRegressor(categorical_features=[False, False, True], random_state=0)
    expected = regression.measure(model.fit(TABLE.to_array(), TARGET).predict(TABLE.to_array()), TARGET)
    assert section["metrics"] == pytest.approx(expected)
    assert section["metrics"]["r2"] > 0.9
    assert section["rows"] == 300
    assert section["model"].startswith("scikit-learn ")
    assert section["model"].endswith(" HistGradientBoostingRegressor")


def test_a_large_table_is_sampled(monkeypatch):
    monkeypatch.setattr(gradient_boosting, "MAX_CELLS", 0)
    many = Table(np.tile(TABLE.numbers, (5, 1)), np.tile(CODES, (5, 1)))

    assert fit(many, np.tile(TARGET, 5))["rows"] == 1000


def test_many_categories_are_read_as_numbers():
    many = Table(TABLE.numbers, np.arange(300)[:, None])

    assert fit(many)["metrics"]["r2"] > 0.5


def test_training_rows_of_one_class_have_no_reference():
    section = fit(target=np.zeros(300))

    assert section["metrics"] == {}
    assert "one class or value" in section["reason"]


def test_very_many_classes_have_no_reference():
    section = fit_reference(TABLE, np.arange(300), TABLE, classes=300, measure=lambda _model, _features: {"loss": 0.0})

    assert section["metrics"] == {}
    assert section["reason"] == "it is fitted to at most 100 classes, not 300"


def test_a_class_that_the_model_never_saw_is_the_least_probable():
    class Model:
        classes_ = np.array([0, 2])

        def predict_proba(self, features):
            return np.full((len(features), 2), 0.5)

    assert class_log_probabilities(Model(), np.zeros((1, 1)), 3).round(2).tolist() == [[-0.69, -30.0, -0.69]]
