"""Try it: ask a model with an image, audio, a text or a list."""

from app.web.view import View

VIEW = View(title="Try it", path="/try", place=50)
