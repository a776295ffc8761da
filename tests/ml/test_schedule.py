"""Batch size and epochs of a schedule for few and for many rows."""

import pytest

from ml.schedule import Schedule
from ml.spec.resolve import DEFAULTS


@pytest.mark.parametrize(
    ("rows", "batch", "times"),
    [
        (54_000, 128, 1),
        (1_345, 128, 2),
        (1_024, 128, 3),
        (270, 33, 3),
        (86, 10, 3),
        (54, 8, 4),
        (5, 5, 20),
    ],
)
def test_few_rows_come_in_smaller_batches_and_more_often(rows: int, batch: int, times: int) -> None:
    assert DEFAULTS.batch_rows(rows) == batch
    assert DEFAULTS.epoch_repeats(rows // batch) == times
    assert times == 1 or times * 10 * (rows // batch) >= 200 > (times - 1) * 10 * (rows // batch)


def test_a_schedule_without_a_minimum_is_followed_exactly() -> None:
    plain = Schedule(epochs=3, batch_size=128)
    assert (plain.batch_rows(60), plain.batch_rows(1_000), plain.epoch_repeats(1)) == (60, 128, 1)


def test_few_rows_get_more_epochs_and_the_plan_says_so() -> None:
    schedule = Schedule(epochs=20, batch_size=8, min_steps=200, min_batches_per_epoch=8, max_steps=300)
    assert schedule.describe_small_data(76) == (
        "76 rows are few: 40 epochs in batches of 8, not the usual 20 in batches of 8"
    )
    assert schedule.describe_small_data(10_000) is None
    may_continue = schedule.model_copy(update={"max_steps": 1500}).describe_small_data(76)
    assert may_continue is not None
    assert may_continue.endswith("; training continues while validation improves, within 1,500 steps")
