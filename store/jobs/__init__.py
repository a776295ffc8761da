"""The state machine of jobs: claim with a job lease, renew it, finish, requeue.

Every change of a job's state is one of these functions.

    queued   claim -> running, cancel -> cancelled, dataset rejected -> failed
    running  suspend -> running without a lease, until its trials ring: claim -> running
    running  succeed -> succeeded, fail -> failed, finish_cancelled -> cancelled,
             release -> queued (after the last allowed crash: failed)

Each function works in its caller's transaction. A write of a run is conditional on (id, fence, running). If it matches
no row, the run has been given to another worker or has ended, and `StaleClaim` is raised. Final states never change.
"""

from store.jobs.claims import (
    MAX_CHECKPOINTS,
    MAX_SUSPENSION_SECONDS,
    Claim,
    Heartbeat,
    add_checkpoint,
    claim,
    claim_next,
    delete_checkpoints,
    get_claim,
    heartbeat,
    lock_claim,
    report,
    save_spec,
    suspend,
    waited_for_dataset,
)
from store.jobs.listing import (
    PAUSED,
    JobFilter,
    checkpoints,
    count_by_state,
    count_unfinished,
    get,
    listing,
    queue_positions,
    trials,
)
from store.jobs.outcomes import fail, finish_cancelled, finish_validation, release, requeue_expired, succeed
from store.jobs.removal import remove
from store.jobs.requests import Request, cancel, pause, resume, set_priority, stop
from store.jobs.submission import submit
from store.jobs.wake_ups import correct_lanes, jobs_to_notify, ring_suspended

__all__ = [
    "MAX_CHECKPOINTS",
    "MAX_SUSPENSION_SECONDS",
    "PAUSED",
    "Claim",
    "Heartbeat",
    "JobFilter",
    "Request",
    "add_checkpoint",
    "cancel",
    "checkpoints",
    "claim",
    "claim_next",
    "correct_lanes",
    "count_by_state",
    "count_unfinished",
    "delete_checkpoints",
    "fail",
    "finish_cancelled",
    "finish_validation",
    "get",
    "get_claim",
    "heartbeat",
    "jobs_to_notify",
    "listing",
    "lock_claim",
    "pause",
    "queue_positions",
    "release",
    "remove",
    "report",
    "requeue_expired",
    "resume",
    "ring_suspended",
    "save_spec",
    "set_priority",
    "stop",
    "submit",
    "succeed",
    "suspend",
    "trials",
    "waited_for_dataset",
]
