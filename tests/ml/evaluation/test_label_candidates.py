"""Candidates for labels are uncertain, and unlike each other."""

from __future__ import annotations

import numpy as np

from ml.evaluation.label_candidates import choose_candidates


def test_copies_of_one_uncertain_row_are_not_all_listed() -> None:
    rng = np.random.default_rng(0)
    centers = np.repeat(np.eye(4) * 10, 50, axis=0)
    vectors = centers + rng.normal(0, 0.1, centers.shape)
    confidences = np.repeat([0.5, 0.6, 0.7, 0.99], 50)
    chosen = choose_candidates(vectors, confidences, count=3)
    assert [index // 50 for index in chosen] == [0, 1, 2]


def test_no_row_is_listed_twice_and_no_more_than_there_are() -> None:
    chosen = choose_candidates(np.zeros((5, 2)), np.full(5, 0.5), count=20)
    assert sorted(chosen) == [0, 1, 2, 3, 4]
