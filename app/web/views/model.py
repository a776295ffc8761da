"""Model: versions, aliases, metrics, origin and downloads."""

from app.web.view import View

VIEW = View(title="Model", path="/models/{model}", parent="/models")
