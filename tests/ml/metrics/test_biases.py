"""Biases of users and items, fitted to ratings."""

import numpy as np

from ml.metrics.biases import Biases


def test_biases_of_a_sum_of_two_effects_are_recovered_as_rows_become_many() -> None:
    generator = np.random.default_rng(0)
    users, items = generator.normal(0, 0.5, 20), generator.normal(0, 1, 30)
    codes = np.stack([generator.integers(0, 20, 20_000), generator.integers(0, 30, 20_000)], axis=1)
    target = 3 + users[codes[:, 0]] + items[codes[:, 1]]

    errors = Biases(codes, target).predict(codes) - target

    # The damping draws each bias towards 0 by 5 rows of 5 + 667.
    assert np.abs(errors).max() < 0.05


def test_a_category_seen_once_is_hardly_believed_and_an_unknown_one_not_at_all() -> None:
    codes = np.array([[0], [0], [0], [0], [1]])
    biases = Biases(codes, np.array([3.0, 3.0, 3.0, 3.0, 5.0]))
    once, unknown = biases.predict(np.array([[1], [7]]))

    assert unknown == biases.mean == 3.4
    assert 3.4 < once < 3.8
