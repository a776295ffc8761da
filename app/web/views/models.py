"""Models: the list of all models."""

from app.web.view import View

VIEW = View(title="Models", path="/models", place=40)
