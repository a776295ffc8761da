"""Relations: what columns must be to one another, where each by itself is fine."""

from ml.data.cross_checks.base import Relation
from ml.registry import Registry

RELATIONS: Registry[Relation] = Registry("ml.data.cross_checks", Relation)  # type: ignore[type-abstract]
