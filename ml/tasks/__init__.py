"""Tasks that models can be trained for, such as classification and translation."""

from ml.registry import Registry
from ml.tasks.base import Task

TASKS: Registry[Task] = Registry("ml.tasks", Task)  # type: ignore[type-abstract]
