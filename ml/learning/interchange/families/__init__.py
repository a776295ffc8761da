"""Model families of the transformers library, by the architecture that they are imported as."""

from ml.learning.interchange.families.base import Family
from ml.registry import Registry

FAMILIES: Registry[Family] = Registry("ml.learning.interchange.families", Family)  # type: ignore[type-abstract]
