"""Lists of items of users and sessions, with times and events, and growing ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, count, sample, upload

USERS = 30
#: Items of each user in the order of time.
HISTORY = [f"i{step}" for step in range(6)]


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    cells = [[" ".join(cell) if isinstance(cell, list) else str(cell) for cell in row.values()] for row in rows]
    return "\n".join([",".join(rows[0]), *map(",".join, cells), ""]).encode()


def read_histories(folder: Path) -> list[list[str]]:
    return [list(history) for history in Dataset.open(folder / "dataset").rows("test").columns["history"]]


@pytest.mark.parametrize("write", [as_lines, as_csv])
def test_lists_of_a_user_are_in_the_order_of_their_times(tmp_path: Path, write: Any) -> None:
    rows = [
        {"user": f"u{user}", "items": HISTORY[start : start + 2], "timestamp": 1_600_000_000 + start}
        for start in (4, 0, 2)
        for user in range(USERS)
    ]
    report = upload(tmp_path, {f"a.{'csv' if write is as_csv else 'jsonl'}": write(rows)})
    assert read_histories(tmp_path) == [HISTORY] * USERS
    assert "interactions_without_time" not in codes(report)


def test_a_list_may_have_a_time_for_each_item(tmp_path: Path) -> None:
    times = [3, 1, 2, 6, 5, 4]
    rows = [
        {"user": user, "items": [HISTORY[time - 1] for time in times], "timestamps": times} for user in range(USERS)
    ]
    assert upload(tmp_path / "a", {"a.jsonl": as_lines(rows)}).state == "ready"
    assert read_histories(tmp_path / "a") == [HISTORY] * USERS
    rows[0]["timestamps"] = times[:-1]
    report = upload(tmp_path / "b", {"a.jsonl": as_lines(rows)}, max_bad_rows=0.0)
    assert sample(report, "timestamp_invalid")["found"] == "5 times"


def test_events_of_a_session_are_objects_as_in_otto(tmp_path: Path) -> None:
    rows = [
        {
            "session": session,
            "events": [
                {"aid": item, "ts": 1_659_304_800_000 + item, "type": "clicks" if item % 2 else "orders"}
                for item in (3, 1, 2, 0)
            ],
        }
        for session in range(USERS)
    ]
    report = upload(tmp_path, {"train.jsonl": as_lines(rows)})
    assert (report.state, report.guess and report.guess.task) == ("ready", "recommendation")
    assert read_histories(tmp_path) == [["0", "1", "2", "3"]] * USERS
    events = Dataset.open(tmp_path / "dataset").rows("test").columns["events"]
    assert list(events[0]) == ["orders", "clicks", "orders", "clicks"]


def with_user(user: int, items: list[str]) -> dict[str, Any]:
    return {"user": f"u{user}", "history": items}


def without_user(user: int, items: list[str]) -> dict[str, Any]:
    return {"items": items}


def with_target(user: int, items: list[str]) -> dict[str, Any]:
    return {"user": f"u{user}", "history": items[:-1], "item": items[-1]}


@pytest.mark.parametrize("row", [with_user, without_user, with_target])
@pytest.mark.parametrize("write", [as_lines, as_csv])
def test_a_history_that_grows_from_row_to_row_is_read_once(tmp_path: Path, row: Any, write: Any) -> None:
    if write is as_lines and row is with_target:
        pytest.skip("objects with a history have no item to predict")
    rows = [row(user, [f"{item}.{user}" for item in HISTORY[:end]]) for user in range(USERS) for end in range(2, 7)]
    report = upload(tmp_path, {f"a.{'csv' if write is as_csv else 'jsonl'}": write(rows)}, task="recommendation")
    assert report.state == "ready", report.errors
    assert read_histories(tmp_path) == [[f"{item}.{user}" for item in HISTORY] for user in range(USERS)]
    assert count(report, "history_grows") == 4 * USERS


def test_a_window_that_moves_by_an_item_is_read_once(tmp_path: Path) -> None:
    rows = [with_user(user, HISTORY[start : start + 4]) for user in range(USERS) for start in range(3)]
    upload(tmp_path, {"a.jsonl": as_lines(rows)})
    assert read_histories(tmp_path) == [HISTORY] * USERS


def test_baskets_of_a_user_that_continue_nothing_are_joined(tmp_path: Path) -> None:
    rows = [with_user(user, HISTORY[start : start + 2]) for user in range(USERS) for start in (0, 2, 4)]
    report = upload(tmp_path, {"a.jsonl": as_lines(rows)})
    assert read_histories(tmp_path) == [HISTORY] * USERS
    assert "history_grows" not in codes(report)


@pytest.mark.parametrize("write", [as_lines, as_csv])
def test_sessions_of_a_user_are_joined_with_a_word_and_apart_on_request(tmp_path: Path, write: Any) -> None:
    rows = [
        {"user_id": f"u{user}", "session_id": f"s{user}-{start}", "items": HISTORY[start : start + 3]}
        for user in range(USERS)
        for start in (0, 3)
    ]
    files = {f"a.{'csv' if write is as_csv else 'jsonl'}": write(rows)}
    report = upload(tmp_path / "joined", files)
    assert read_histories(tmp_path / "joined") == [HISTORY] * USERS
    assert "session_id" in sample(report, "sessions_joined")["expected"]
    report = upload(tmp_path / "apart", files, columns={"user": "session_id"})
    assert len(read_histories(tmp_path / "apart")) == 2 * USERS
    assert "sessions_joined" not in codes(report)
