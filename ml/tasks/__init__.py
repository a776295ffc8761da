"""Tasks: what a model is for."""

from ml.registry import Registry
from ml.tasks.base import Task

TASKS: Registry[Task] = Registry("ml.tasks", Task)  # type: ignore[type-abstract]
