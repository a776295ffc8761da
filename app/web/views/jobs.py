"""Jobs: all jobs with state, progress and time left."""

from __future__ import annotations

from app.web.view import View

VIEW = View(title="Jobs", path="/jobs", place=30)
