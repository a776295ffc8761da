"""Routes of disk space: what takes it, and cleaning up."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from app.disk.schemas import DeletedPart, DiskClean, DiskCleaned, DiskPart, DiskSpace
from app.http.request_body import JSONRoute
from store import disk
from store.settings import store_settings

router = APIRouter(prefix="/api/v1/disk", tags=["system"], route_class=JSONRoute)

OlderThan = Annotated[
    float | None,
    Query(ge=0, le=36_500, description="Count what a clean-up with this `older_than_days` would delete."),
]
_EXAMPLES: Any = {
    "expired": {"summary": "Delete all that has exceeded its retention", "value": {}},
    "now": {
        "summary": "Delete the checkpoints of all ended jobs, and all exports",
        "value": {"kinds": ["checkpoints", "exports"], "older_than_days": 0},
    },
}
CleanBody = Annotated[DiskClean, Body(openapi_examples=_EXAMPLES)]


@router.get("")
def read_disk(older_than_days: OlderThan = None) -> DiskSpace:
    """List the space that datasets, models, checkpoints, uploads, exports, logs and events take."""
    uses = disk.measure(older_than_days=older_than_days)
    home = shutil.disk_usage(store_settings().home)
    return DiskSpace(free_bytes=home.free, total_bytes=home.total, kinds=[DiskPart.of(use) for use in uses])


@router.post("/clean")
def clean_disk(body: CleanBody) -> DiskCleaned:
    """Delete what is of no use any more, as workers do every ten minutes.

    Nothing that a dataset, a model or an unfinished job needs is deleted, and no blob younger than a day that no row
    refers to.
    """
    kinds = [kind.value for kind in body.kinds] if body.kinds else list(disk.KINDS)
    deleted = disk.clean(kinds, older_than_days=body.older_than_days)
    parts = [
        DeletedPart.model_validate({"kind": kind, "count": len(items), "bytes": sum(item.bytes for item in items)})
        for kind, items in deleted.items()
    ]
    return DiskCleaned(deleted=parts, bytes=sum(part.bytes for part in parts))
