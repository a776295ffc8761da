"""Job: curves, phase, events, logs, settings and checkpoints of one job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.browser import has_route
from app.web.view import View
from store import jobs
from store.database import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request


def _context(request: Request) -> Mapping[str, Any]:
    with reading() as session:
        job = jobs.get(session, request.path_params["job_id"])
        name = job.model_name or job.spec.get("name") or job.spec.get("model") or job.kind
    path = f"/api/v1/jobs/{job.id}"
    offers = [action for action in ("retry", "clone") if has_route(request.app.routes, "POST", f"{path}/{action}")]
    return {"title": f"Job {name}", "job_id": job.id, "name": name, "offers": " ".join(offers)}


VIEW = View(title="Job", path="/jobs/{job_id}", parent="/jobs", context=_context)
