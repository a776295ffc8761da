"""Periods of a run, from its progress."""

from __future__ import annotations

from worker.tracing.phase_spans import MAX_EPOCHS, arrange


def test_phases_follow_one_another_without_gaps_and_have_epochs() -> None:
    starts = [
        ("preparing", 0, 120),
        ("training", 1, 150),
        ("training", 2, 160),
        ("training", 4, 190),
        ("evaluating", 4, 200),
        ("exporting", 4, 230),
    ]
    periods = arrange(starts, start_ns=100, end_ns=250)
    assert [(period.name, period.start_ns, period.end_ns) for period in periods] == [
        ("job.starting", 100, 120),
        ("job.preparing", 120, 150),
        ("job.training", 150, 200),
        ("job.evaluating", 200, 230),
        ("job.exporting", 230, 250),
    ]
    epochs = {period.name: [(item.epoch, item.start_ns, item.end_ns) for item in period.epochs] for period in periods}
    assert epochs["job.training"] == [(1, 150, 160), (2, 160, 190), (4, 190, 200)]
    assert not any(items for name, items in epochs.items() if name != "job.training")


def test_a_run_that_reports_nothing_is_one_period() -> None:
    (only,) = arrange([], start_ns=5, end_ns=9)
    assert (only.name, only.start_ns, only.end_ns) == ("job.starting", 5, 9)


def test_times_of_another_clock_stay_within_the_run() -> None:
    periods = arrange([("reading", None, 1), ("recording", None, 99)], start_ns=10, end_ns=20)
    assert [(period.start_ns, period.end_ns) for period in periods] == [(10, 10), (10, 20), (20, 20)]


def test_a_training_of_many_epochs_has_a_bounded_number_of_spans() -> None:
    starts = [("training", epoch, epoch) for epoch in range(1, 1001)]
    training = arrange(starts, start_ns=0, end_ns=2000)[-1]
    assert len(training.epochs) == MAX_EPOCHS
    assert training.epochs[-1].end_ns == training.end_ns == 2000
