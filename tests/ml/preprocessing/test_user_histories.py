"""Histories of users in a file: look-up, limits, and damaged files."""

from pathlib import Path

import numpy as np
import pytest

from ml.errors import InputError
from ml.preprocessing import user_histories
from ml.preprocessing.user_histories import UserHistories, complete_history

HISTORIES = {
    name: np.array(codes, dtype=np.int32) for name, codes in (("b", [4, 2]), ("a", []), ("é1", [3]), ("b1", [5]))
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    UserHistories.of(HISTORIES).save(tmp_path / "histories.bin")
    return tmp_path / "histories.bin"


def test_every_user_is_found_again_and_no_one_else(path: Path) -> None:
    loaded = UserHistories.load(path)
    assert len(loaded) == 4
    for user, codes in HISTORIES.items():
        stored = loaded.codes_of(user)
        assert stored is not None
        assert stored.tolist() == codes.tolist()
    assert [loaded.codes_of(user) for user in ("", "a0", "c", "é", "\ud800")] == [None] * 5
    assert UserHistories.of({}).codes_of("a") is None


def test_equal_histories_make_equal_bytes_in_any_order(path: Path, tmp_path: Path) -> None:
    UserHistories.of(dict(reversed(HISTORIES.items()))).save(tmp_path / "other.bin")
    assert (tmp_path / "other.bin").read_bytes() == path.read_bytes()


def test_only_the_latest_items_and_the_first_users_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_histories, "MAX_USER_ITEMS", 1)
    monkeypatch.setattr(user_histories, "MAX_USERS", 3)
    limited = UserHistories.of(HISTORIES)
    assert len(limited) == 3
    stored = limited.codes_of("b")
    assert stored is not None
    assert stored.tolist() == [2]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not counts",
        b"[1]\n",
        b'{"users": 1e999, "items": 0, "bytes": 0}\n',
        b'{"users": 1000000000000, "items": 0, "bytes": 0}\n',
        b'{"users": -1, "items": 4, "bytes": 0}\n',
        b'{"users": 1, "items": 1, "bytes": 1}\n' + np.array([5, 1], "<i8").tobytes() + b"abcdx",
        b'{"users": 1, "items": 1, "bytes": 1}\n' + np.array([1, -1], "<i8").tobytes() + b"abcdx",
    ],
)
def test_a_damaged_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "histories.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"histories\.bin is damaged"):
        UserHistories.load(tmp_path / "histories.bin")


def test_a_file_that_is_cut_off_is_an_error(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="do not fit its counts"):
        UserHistories.load(path)


def test_a_request_continues_the_history_of_its_user() -> None:
    histories = UserHistories.of(HISTORIES)
    assert complete_history("b", ["new"], ("x", "y", "z"), histories) == ["z", "x", "new"]
    assert complete_history(None, ["new"], ("x",), histories) == ["new"]
    for stored, message in ((histories, "no user 'zoe'"), (None, "no histories of users")):
        with pytest.raises(InputError, match=message) as error:
            complete_history("zoe", [], ("x",), stored)
        (finding,) = error.value.findings
        assert finding.path == "user"
        assert '"history"' in (finding.hint or "")
