"""Dataset: its columns, health, findings and rows."""

from app.web.view import View

VIEW = View(title="Dataset", path="/data/{dataset}", parent="/data")
