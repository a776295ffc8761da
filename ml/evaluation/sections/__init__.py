"""Sections of an evaluation report, one file each."""

from ml.evaluation.sections.base import Section
from ml.registry import Registry

SECTIONS: Registry[Section] = Registry(__name__, Section)  # type: ignore[type-abstract]
