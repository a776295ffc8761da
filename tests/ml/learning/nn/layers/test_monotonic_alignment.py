from itertools import combinations

import numpy as np

from ml.learning.nn.layers.monotonic_alignment import monotonic_alignment


def cheapest(cost: np.ndarray) -> float:
    """By trying every way to cut the frames into as many pieces as there are letters."""
    letters, frames = cost.shape
    ways = combinations(range(1, frames), letters - 1)
    edges = [(0, *way, frames) for way in ways]
    return min(sum(cost[row, way[row] : way[row + 1]].sum() for row in range(letters)) for way in edges)


def test_it_is_the_cheapest_of_all_ways_row_by_row_whatever_is_padded() -> None:
    cost = np.random.default_rng(0).random((6, 4, 9))
    letters, frames = np.array([1, 2, 3, 4, 4, 2]), np.array([9, 2, 7, 9, 4, 5])

    lasts = monotonic_alignment(cost, letters, frames)

    for row in range(6):
        assert lasts[row].sum() == frames[row]
        assert (lasts[row, : letters[row]] > 0).all()
        assert (lasts[row, letters[row] :] == 0).all()
        edges = np.concatenate([[0], lasts[row].cumsum()])
        found = sum(cost[row, each, edges[each] : edges[each + 1]].sum() for each in range(letters[row]))
        assert np.isclose(found, cheapest(cost[row, : letters[row], : frames[row]]))


def test_more_letters_than_frames_are_aligned_with_nothing() -> None:
    assert monotonic_alignment(np.ones((1, 5, 4)), np.array([5]), np.array([4])).sum() == 0
