"""Events of a log: what they take in memory, their limit, and their places."""

from __future__ import annotations

import tracemalloc

import pytest

from ml.data.formats.behavior import _interaction_log
from ml.data.formats.behavior._interaction_log import EVENTS_PER_ROW, InteractionLog
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.limits import Limits


def make_log(**limits: int) -> InteractionLog:
    return InteractionLog(IssueLog(max_samples=3), Limits(**limits))


def test_an_event_takes_thirty_bytes() -> None:
    log, count = make_log(), 20_000
    at = Location(file="log.csv", row=1)
    for event in range(100):
        log.add(f"u{event % 10}", f"i{event % 10}", event, at, rating=3.5)
    tracemalloc.start()
    for event in range(count):
        log.add(f"u{event % 10}", f"i{event % 10}", event, at, rating=3.5)
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 22 bytes, and up to an eighth more where an array has grown ahead.
    assert memory / count < 30


def test_a_log_may_have_several_events_for_a_row_of_the_limit() -> None:
    log = make_log(max_rows=2)
    for event in range(2 * EVENTS_PER_ROW):
        log.add("u", f"i{event}", event, Location(file="log.csv", row=event + 1))
    with pytest.raises(DataRejected) as error:
        log.add("u", "more", 99, Location(file="log.csv", row=99))
    assert (error.value.code, error.value.expected) == ("too_many_rows", "at most 8 interactions, 4 a row")


def test_events_are_located_in_their_files_also_if_these_alternate() -> None:
    log = make_log()
    for row, file in enumerate(("a.csv", "b.csv", "a.csv"), start=1):
        log.add("u", f"i{row}", 10 - row, Location(file=file, row=row))
    (history,) = log.histories()
    assert (list(history.items), history.at) == (["i3", "i2", "i1"], Location(file="a.csv", row=3))


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_ties_are_counted_across_blocks(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(_interaction_log, "_BLOCK_EVENTS", block)
    log = make_log()
    for row, time in enumerate((5, 1, 2, 2, 2, 3, 4, 4), start=1):
        log.add("u", f"i{row}", time, Location(file="log.csv", row=row))
    list(log.histories())
    (ties,) = (issue for issue in log.issues.entries if issue.code == "times_equal")
    assert (ties.count, ties.sample[0]["row"], ties.sample[0]["found"]) == (5, 3, "62.5% of 8 interactions")
