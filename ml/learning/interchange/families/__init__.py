"""Hugging Face's model types, by the architecture of ours that they come in as and go out from."""

from ml.learning.interchange.families.base import Family
from ml.registry import Registry

FAMILIES: Registry[Family] = Registry("ml.learning.interchange.families", Family)  # type: ignore[type-abstract]
