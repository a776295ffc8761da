from worker.concurrency import JobSlots


def test_a_job_that_finds_no_slot_gets_the_first_that_is_freed():
    slots = JobSlots(1)
    assert slots.enter("first")
    assert not slots.enter("second")
    assert not slots.enter("third")
    assert slots.leave() == "second"
    assert slots.leave() == "third"
    assert slots.leave() is None
    assert slots.enter("fourth")


def test_a_bell_rung_twice_waits_once():
    slots = JobSlots(1)
    slots.enter("first")
    slots.enter("second")
    slots.enter("second")
    assert slots.leave() == "second"
    assert slots.leave() is None
