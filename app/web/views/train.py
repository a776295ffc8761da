"""Train: a form for a job, and the plan before it starts."""

from app.web.view import View

VIEW = View(title="Train", path="/train", place=20)
