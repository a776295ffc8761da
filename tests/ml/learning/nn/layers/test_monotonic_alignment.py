from itertools import combinations

import numpy as np

from ml.learning.nn.layers.monotonic_alignment import monotonic_alignment


def _minimal_cost(cost: np.ndarray) -> float:
    """Try every way to cut the frames into as many pieces as there are characters."""
    characters, frames = cost.shape
    cuts = combinations(range(1, frames), characters - 1)
    edges = [(0, *cut, frames) for cut in cuts]
    return min(sum(cost[row, edge[row] : edge[row + 1]].sum() for row in range(characters)) for edge in edges)


def test_the_alignment_of_each_row_has_minimal_cost_whatever_the_padding() -> None:
    cost = np.random.default_rng(0).random((6, 4, 9))
    characters, frames = np.array([1, 2, 3, 4, 4, 2]), np.array([9, 2, 7, 9, 4, 5])

    durations = monotonic_alignment(cost, characters, frames)

    for row in range(6):
        assert durations[row].sum() == frames[row]
        assert (durations[row, : characters[row]] > 0).all()
        assert (durations[row, characters[row] :] == 0).all()
        edges = np.concatenate([[0], durations[row].cumsum()])
        total = sum(cost[row, index, edges[index] : edges[index + 1]].sum() for index in range(characters[row]))
        assert np.isclose(total, _minimal_cost(cost[row, : characters[row], : frames[row]]))


def test_a_row_with_more_characters_than_frames_gets_no_frames() -> None:
    assert monotonic_alignment(np.ones((1, 5, 4)), np.array([5]), np.array([4])).sum() == 0
