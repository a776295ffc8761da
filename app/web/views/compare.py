"""Compare: runs as a table of settings and metrics, and as lines across parallel axes."""

from __future__ import annotations

from app.web.view import View

VIEW = View(title="Compare", path="/compare", place=60)
