from itertools import combinations, pairwise

import numpy as np
import pytest

from ml.inference.batch_planning import MAX_BYTES, MAX_STEPS, CallCost, even_cuts, lengths_of


def _total(cost: CallCost, lengths: np.ndarray, cuts: list[tuple[int, int]]) -> float:
    return sum(cost.seconds(end - start, int(lengths[end - 1])) for start, end in cuts)


def test_no_other_way_to_cut_is_cheaper():
    cost, lengths = CallCost(), np.array([3, 4, 4, 9, 30, 31, 120])

    cost_of_cuts = _total(cost, lengths, cost.cuts(lengths))

    for count in range(len(lengths)):
        for places in combinations(range(1, len(lengths)), count):
            edges = [0, *places, len(lengths)]
            assert cost_of_cuts <= _total(cost, lengths, list(pairwise(edges))) + 1e-9


def test_rows_of_one_length_stay_together_and_the_long_one_goes_alone():
    assert CallCost().cuts(np.full(64, 20)) == [(0, 64)]
    assert CallCost().cuts(np.zeros(3, dtype=np.int64)) == [(0, 3)]
    assert CallCost().cuts(np.array([12] * 20 + [500])) == [(0, 20), (20, 21)]


def test_no_call_of_several_rows_grows_without_bounds():
    lengths = np.sort(np.random.default_rng(0).integers(100, 3 * MAX_STEPS, size=200))
    lengths[:150] = 300
    cuts = CallCost().cuts(lengths)

    assert [start for start, _ in cuts] == [0, *(end for _, end in cuts[:-1])]
    assert cuts[-1][1] == 200
    assert all(end - start == 1 or (end - start) * lengths[end - 1] <= MAX_STEPS for start, end in cuts)
    assert sum(end <= 150 for _, end in cuts) >= 150 // (MAX_STEPS // 300)


def test_rows_of_one_shape_are_parted_where_they_are_large():
    assert even_cuts({"image": np.zeros((64, 1, 28, 28), np.uint8), "label": np.zeros(64)}) == [(0, 64)]
    large = np.zeros((5, MAX_BYTES // 2), np.uint8)
    assert even_cuts({"image": large}) == [(0, 2), (2, 4), (4, 5)]
    assert even_cuts({"image": np.zeros((2, 2 * MAX_BYTES), np.uint8)}) == [(0, 1), (1, 2)]


def test_the_cost_of_a_call_is_learned_from_calls():
    cost, rng = CallCost(), np.random.default_rng(0)
    for _ in range(400):
        rows, length = int(rng.integers(1, 65)), int(rng.integers(1, 129))
        cost.record(rows, length, seconds=2e-3 + 1e-5 * rows * length + 1e-8 * rows * length**2)
    # The damping alone keeps it from being exact.
    for rows, length in ((1, 1), (8, 30), (64, 128)):
        expected = 2e-3 + 1e-5 * rows * length + 1e-8 * rows * length**2
        assert cost.seconds(rows, length) == pytest.approx(expected, rel=0.05)


def test_where_calls_cost_much_fewer_are_made():
    cheap, dear = CallCost(), CallCost()
    for rows in (1, 4, 16, 64) * 20:
        for length in (4, 16, 64):
            cheap.record(rows, length, seconds=1e-6 + 1e-5 * rows * length)
            dear.record(rows, length, seconds=1e-1 + 1e-5 * rows * length)
    lengths = np.sort(np.random.default_rng(0).integers(3, 120, size=32))
    assert len(dear.cuts(lengths)) == 1 < len(cheap.cuts(lengths))


def test_a_row_is_as_long_as_its_longest_array():
    ragged = {"text": [np.zeros(3), np.zeros(5)], "other": [np.zeros(4), np.zeros(1)], "label": np.zeros(2)}
    assert lengths_of(ragged).tolist() == [4, 5]
    assert lengths_of({"image": np.zeros((2, 1, 8, 8))}) is None
