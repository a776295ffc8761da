"""The limit on concurrent runs."""

from worker.concurrency import JobSlots


def test_a_waiting_job_gets_the_next_released_slot():
    slots = JobSlots(1)
    assert slots.acquire("first")
    assert not slots.acquire("second")
    assert not slots.acquire("third")
    assert slots.release() == "second"
    assert slots.release() == "third"
    assert slots.release() is None
    assert slots.acquire("fourth")


def test_a_job_notified_twice_waits_once():
    slots = JobSlots(1)
    slots.acquire("first")
    slots.acquire("second")
    slots.acquire("second")
    assert slots.release() == "second"
    assert slots.release() is None
