"""Records and feedback keep their bounds and counts in both databases."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store.adaptation import feedback, records, watches
from store.database import transaction
from store.errors import Conflict
from store.ids import new_id
from store.tables import Watch
from tests.store.test_models import register_model

pytestmark = pytest.mark.usefixtures("database")

OPTIONS = {"max_rows": 4, "max_bytes": 1_000, "max_days": 1.0, "drift": "auto", "then": "tell"}


def record(number: int, *, size: int = 10) -> dict[str, Any]:
    return {
        "id": new_id("rec"),
        "model_name": "digits",
        "version": 1,
        "request_id": f"r{number}",
        "position": 0,
        "label": "7",
        "confidence": 0.5,
        "statistics": [1.0, 2.0],
        "embedding": b"\0" * 8,
        "input": b"{}",
        "bytes": size,
    }


def new_watch() -> None:
    with transaction() as session:
        session.add(
            Watch(model_name="digits", id="wch_1", keep="rows", fraction=1.0, options=OPTIONS, state={}, figures={})
        )


def test_the_oldest_records_go_first() -> None:
    new_watch()
    with transaction() as session:
        records.add(session, [record(number) for number in range(6)])
        records.trim(session, watches.get(session, "digits"))
        assert records.measure(session, "digits") == (4, 40)
        records.add(session, [record(9, size=990)])
        records.trim(session, watches.get(session, "digits"))
        assert [row.request_id for row in records.newest(session, "digits", limit=9)] == ["r9", "r5"]
        assert records.find(session, "digits", "r0", 0) is None
        records.delete_inputs(session, "digits")
        assert records.measure(session, "digits") == (2, 16)
        rows = records.list_unchecked(session, "digits", limit=9)
        records.check(session, rows)
        assert records.measure(session, "digits") == (0, 0)


def test_figures_are_added_by_version_and_dropped_after_the_watch() -> None:
    new_watch()
    with transaction() as session:
        for watch_id in ("wch_1", "wch_1", "wch_0"):
            watches.add_figures(session, watch_id, {"1": {"requests": 2}, "2": {"errors": 1}})
    with transaction() as session:
        row = watches.get(session, "digits")
        assert row.figures == {"1": {"requests": 4}, "2": {"errors": 2}}
        row.monitors = b"\0\1"
        watches.add_event(row, "drift", "seen")
    with transaction() as session:
        row = watches.get(session, "digits")
        assert (row.monitors, row.state["events"][0]["kind"]) == (b"\0\1", "drift")


def test_feedback_is_refused_beyond_its_bytes_and_a_correction_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "MAX_BYTES", 10)
    with transaction() as session:
        feedback.add(session, "digits", content=b"12345678", input_sha256="0", label="7")
        feedback.add(session, "letters", content=b"12345678", input_sha256="0", label="a")
        with pytest.raises(Conflict, match="have 8 bytes, and one of 3 would exceed the limit of 10"):
            feedback.add(session, "digits", content=b"123", input_sha256="1", label="7")
        feedback.add(session, "digits", content=b"12345678", input_sha256="0", label="1")
        feedback.add(session, "digits", content=b"12", input_sha256="2", label="1")
        assert feedback.measure(session, "digits") == (2, 10)


def test_feedback_counts_answers_of_a_version_once() -> None:
    with transaction() as session:
        for number, predicted in enumerate(["7", "7", "1"]):
            answer = {"request_id": f"r{number}", "version": 2, "predicted": predicted}
            feedback.add(session, "digits", content=b"{}", input_sha256=str(number), label="7", **answer)
        row, previous = feedback.add(session, "digits", content=b"{}", input_sha256="0", label="1")
        assert (previous, row.label, row.predicted) == ("7", "1", "7")
        assert feedback.live_accuracy(session, "digits", 2) == (3, 1)
        assert feedback.count(session, "digits") == 3
        assert [
            label for _, label, _ in feedback.rows(session, "digits", until=feedback.last_id(session, "digits"))
        ] == [
            "1",
            "7",
            "7",
        ]


def test_a_change_of_options_keeps_what_the_loop_writes_meanwhile() -> None:
    register_model("digits")
    new_watch()
    with transaction() as session:
        watches.get(session, "digits").state = {"drift": [], "events": []}

    def change() -> None:
        with transaction() as session:
            watches.put(session, "digits", keep="rows", fraction=0.5, options={**OPTIONS, "drift": ["confidence"]})

    with ThreadPoolExecutor(1) as executor:
        with transaction() as session:
            row = watches.lock_watch(session, "wch_1")
            assert row is not None
            changed = executor.submit(change)
            time.sleep(0.3)
            row.state = {**row.state, "round": {"job": "job_1"}}
        changed.result()
    with transaction() as session:
        row = watches.get(session, "digits")
        assert (row.fraction, row.state) == (0.5, {"events": [], "round": {"job": "job_1"}})
