"""Data: bring files, and the list of datasets."""

from app.web.view import View

VIEW = View(title="Data", path="/data", place=10)
