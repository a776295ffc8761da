"""Compare: runs as a table of settings and metrics, and as lines across parallel axes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.dependencies import read_catalog
from app.jobs.descriptions.report_summary import metric_name
from app.web.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request


def _context(_request: Request) -> Mapping[str, Any]:
    names = {name for task in read_catalog().tasks.values() for name in task.metrics}
    return {"metric_names": json.dumps({name: metric_name(name) for name in sorted(names)})}


VIEW = View(title="Compare", path="/compare", place=60, context=_context)
