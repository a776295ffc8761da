"""The limit on concurrent runs."""

from worker.concurrency import JobSlots


def test_a_slot_is_held_until_it_is_released():
    slots = JobSlots(2)
    assert [slots.acquire() for _ in range(3)] == [True, True, False]
    assert not slots.release()
    assert [slots.release(), slots.release()] == [True, True]
    assert slots.acquire()


def test_each_holder_looks_once_more_after_as_many_messages_as_slots():
    slots = JobSlots(2)
    for _ in range(2 + 5):
        slots.acquire()
    assert [slots.release() for _ in range(4)] == [False, False, True, True]
