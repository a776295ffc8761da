"""Job program for tests that records success, cleans up, and writes a note."""

from __future__ import annotations

import sys
import time

from store import jobs
from store.database import transaction
from store.settings import store_settings

CLEAN_UP_SECONDS = 1.0

if __name__ == "__main__":
    job_id, fence = sys.argv[1], int(sys.argv[2])
    with transaction() as session:
        jobs.succeed(session, jobs.get_claim(session, job_id, fence), reason="completed")
    time.sleep(CLEAN_UP_SECONDS)
    (store_settings().home / "cleaned-up").touch()
