"""Start of an API process."""

import gc

from app.__main__ import GC_THRESHOLDS, _spare_lasting_objects


def test_objects_of_the_start_are_exempt_from_garbage_collection() -> None:
    before = gc.get_threshold()
    try:
        _spare_lasting_objects()
        assert gc.get_freeze_count() > 1000
        assert gc.get_threshold() == GC_THRESHOLDS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
