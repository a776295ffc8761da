"""Properties of each corruption on a value of its type."""

from typing import Any

import numpy as np
import pytest

from ml.audio.waveform import Audio
from ml.evaluation.corruptions import CORRUPTIONS
from ml.evaluation.corruptions.base import LEVELS

TEXT = "The quick brown fox jumps over the lazy dog while seven bright lanterns shine"


def _image() -> np.ndarray:
    across, down = np.meshgrid(np.arange(40), np.arange(32))
    pixels = np.stack([6 * across, 7 * down, 3 * (across + down)], axis=2).clip(0, 255).astype(np.uint8)
    pixels[10:20, 12:22] = (255, 30, 90)
    return pixels


def _values(column_type: str) -> list[Any]:
    if column_type == "image":
        return [_image(), _image()[:, :, :1]]
    if column_type == "text":
        return [TEXT]
    seconds = np.arange(4000) / 8000
    return [Audio((0.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32), 8000)]


def _array(value: Any) -> Any:
    return value.samples if isinstance(value, Audio) else value


def _distance(value: Any, corrupted: Any) -> float:
    first, second = _array(value), _array(corrupted)
    if isinstance(first, str):
        return sum(one != two for one, two in zip(first.ljust(200), second.ljust(200), strict=True))
    count = min(len(first), len(second))
    difference = np.abs(first[:count].astype(float) - second[:count].astype(float)).mean()
    return float(difference) + abs(len(first) - len(second))


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_a_corruption_keeps_the_type_and_leaves_the_original_alone(name: str) -> None:
    corruption = CORRUPTIONS[name]()
    for value in _values(corruption.column_type):
        original = _array(value) if isinstance(value, str) else _array(value).copy()
        for amount in corruption.amounts:
            corrupted = corruption.corrupt(value, amount, np.random.default_rng(0))
            assert type(corrupted) is type(value)
            if isinstance(value, np.ndarray):
                assert (corrupted.shape, corrupted.dtype) == (value.shape, value.dtype)
            elif isinstance(value, Audio):
                assert corrupted.rate_hz == value.rate_hz
                assert corrupted.samples.dtype == np.float32
                assert np.abs(corrupted.samples).max() <= 1
            assert np.array_equal(_array(value), original) or _array(value) == original


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_a_higher_level_changes_more(name: str) -> None:
    corruption = CORRUPTIONS[name]()
    value = _values(corruption.column_type)[0]
    changes = []
    for amount in corruption.amounts:
        corrupted = [corruption.corrupt(value, amount, np.random.default_rng(seed)) for seed in range(20)]
        changes.append(np.mean([_distance(value, changed) for changed in corrupted]))
    assert len(changes) == len(LEVELS)
    assert 0 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_the_same_random_state_gives_the_same_value(name: str) -> None:
    corruption = CORRUPTIONS[name]()
    value, amount = _values(corruption.column_type)[0], corruption.amounts[2]
    first, second = (_array(corruption.corrupt(value, amount, np.random.default_rng(5))) for _ in range(2))
    assert np.array_equal(first, second) or first == second


def test_a_shift_moves_boxes_with_the_image_and_drops_those_that_leave_it() -> None:
    row = {"image": _image(), "objects": [{"label": "square", "box": [12, 10, 22, 20]}]}
    moved = CORRUPTIONS["shift"]().corrupt_row(row, "image", 0.1, np.random.default_rng(0))
    left, top, right, bottom = moved["objects"][0]["box"]
    assert (right - left, bottom - top) == (10, 10)
    assert (moved["image"][top:bottom, left:right] == (255, 30, 90)).all()
    corners = [{"label": "corner", "box": [0, 0, 2, 2]}, {"label": "corner", "box": [38, 30, 40, 32]}]
    edge = {"image": _image(), "objects": corners}
    assert len(CORRUPTIONS["shift"]().corrupt_row(edge, "image", 0.2, np.random.default_rng(0))["objects"]) < 2


def test_values_with_nothing_to_change_are_returned() -> None:
    rng = np.random.default_rng(0)
    assert CORRUPTIONS["word_swaps"]().corrupt("word", 1.0, rng) == "word"
    assert CORRUPTIONS["typos"]().corrupt("", 1.0, rng) == ""
    silence = Audio(np.zeros(100, dtype=np.float32), 8000)
    assert not CORRUPTIONS["audio_noise"]().corrupt(silence, 10, rng).samples.any()
