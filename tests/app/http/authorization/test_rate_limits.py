"""Rates of keys: counted together by several processes, and restored as time passes."""

from __future__ import annotations

import multiprocessing
import stat
from collections import Counter
from pathlib import Path

import pytest

from app.http.authorization import rate_limits
from app.http.authorization.rate_limits import RateLimiter


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(tmp_path: Path, clock: Clock) -> RateLimiter:
    return RateLimiter(tmp_path / "rates", clock=clock)


def test_a_whole_quota_can_be_used_at_once_and_comes_back_evenly(limiter: RateLimiter, clock: Clock) -> None:
    states = [limiter.count("key_1", 6) for _ in range(7)]
    assert [state.remaining for state in states] == [5, 4, 3, 2, 1, 0, 0]
    assert [state.retry_seconds for state in states] == [0] * 6 + [10]
    assert [state.reset_seconds for state in states] == [10, 20, 30, 40, 50, 60, 60]
    clock.now += 10
    assert limiter.count("key_1", 6).retry_seconds == 0
    assert limiter.count("key_1", 6).retry_seconds == 10
    clock.now += 60
    assert limiter.count("key_1", 6).remaining == 5


def test_refused_requests_do_not_prolong_the_wait(limiter: RateLimiter, clock: Clock) -> None:
    for _ in range(50):
        limiter.count("key_1", 2)
    clock.now += 30
    assert limiter.count("key_1", 2).retry_seconds == 0


def test_the_headers_are_those_of_the_draft(limiter: RateLimiter) -> None:
    state = limiter.count("key_1", 1)
    assert state.headers() == {"RateLimit-Policy": '"key";q=1;w=60', "RateLimit": '"key";r=0;t=60'}
    assert limiter.count("key_1", 1).headers()["Retry-After"] == "60"


def test_a_clock_that_is_set_back_blocks_no_key_for_longer_than_a_window(limiter: RateLimiter, clock: Clock) -> None:
    limiter.count("key_1", 1)
    clock.now -= 86_400
    assert limiter.count("key_1", 1).retry_seconds == 60
    clock.now += 60
    assert limiter.count("key_1", 1).retry_seconds == 60, "the state is from the time before"


def test_more_keys_than_places_are_still_counted(limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MAX_KEYS", 8)
    states = [limiter.count(f"key_{number}", 2) for number in range(40)]
    assert all(state.retry_seconds == 0 for state in states)


def test_keys_do_not_count_for_each_other(limiter: RateLimiter) -> None:
    states = {number: [limiter.count(f"key_{number}", 3) for _ in range(4)] for number in range(500)}
    assert all([state.retry_seconds > 0 for state in counted] == [False] * 3 + [True] for counted in states.values())


def test_the_file_is_private(limiter: RateLimiter, tmp_path: Path) -> None:
    limiter.count("key_1", 1)
    limiter.close()
    assert stat.S_IMODE((tmp_path / "rates").stat().st_mode) == 0o600


def _count(file: Path, requests: int) -> Counter[bool]:
    limiter = RateLimiter(file)
    return Counter(limiter.count("key_1", 1000).retry_seconds == 0 for _ in range(requests))


def test_processes_count_together(tmp_path: Path) -> None:
    """Four processes send 400 each; only the quota is accepted, and what came back meanwhile."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        counted = pool.starmap(_count, [(tmp_path / "rates", 400)] * 4)
    accepted = sum(counter[True] for counter in counted)
    assert 1000 <= accepted <= 1000 + 200, counted
