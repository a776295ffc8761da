import numpy as np
import pytest

from ml.learning.export.differences import largest_difference, largest_value


@pytest.mark.parametrize(
    ("values", "expected", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5),
        ([], [], 0.0),
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([1.0, -np.inf], [1.0, -np.inf], 0.0),
        ([np.nan, 0.0], [0.0, 0.0], np.inf),
        ([0.0, 0.0], [0.0, np.nan], np.inf),
        ([True, False], [True, True], 1.0),
    ],
)
def test_a_value_that_is_finite_in_one_array_alone_is_an_infinite_difference(values, expected, difference):
    assert largest_difference(np.array(values), np.array(expected)) == difference


def test_the_largest_value_is_finite():
    assert largest_value(np.array([np.inf, np.nan, -3.0, 2.0])) == 3.0
    assert largest_value(np.array([np.nan])) == 0.0
