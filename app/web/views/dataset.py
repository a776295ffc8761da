"""Data set: its columns, health, findings and rows."""

from app.web.view import View

VIEW = View(title="Data set", path="/data/{dataset}", parent="/data")
