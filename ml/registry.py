"""Registry: classes by name, from the modules of one package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Generic, TypeVar

from ml.errors import UnknownName

T = TypeVar("T")


class Registry(Mapping[str, type[T]], Generic[T]):
    """Classes by name, one for each module of a package.

    A module `x.py` defines one subclass of `base` whose `name` is `"x"`. Subpackages are included. The module `base`,
    which holds the base class, is skipped, and so are modules whose name starts with `_`. A module is imported when its
    class is first requested. An unknown name raises `UnknownName`, which lists the existing ones.
    """

    def __init__(self, package: str, base: type[T]) -> None:
        self.package = package
        self.base = base
        self._classes: dict[str, type[T]] = {}

    @cached_property
    def _paths(self) -> dict[str, str]:
        """Paths of the modules by name, in alphabetical order."""
        folder = importlib.import_module(self.package)
        modules = pkgutil.walk_packages(folder.__path__, f"{self.package}.")
        paths = {module.name.rpartition(".")[2]: module.name for module in modules if not module.ispkg}
        return {name: paths[name] for name in sorted(paths) if name != "base" and name[0] != "_"}

    @property
    def _noun(self) -> str:
        plural = self.package.rpartition(".")[2]
        return f"{plural[:-3]}y" if plural.endswith("ies") else plural.removesuffix("s")

    def _load_class(self, path: str) -> type[T]:
        module, name = importlib.import_module(path), path.rpartition(".")[2]
        classes = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, self.base) and getattr(value, "name", None) == name
        ]
        if len(classes) != 1:
            raise TypeError(f"{module.__name__} must define exactly one {self.base.__name__} whose name is {name!r}")
        return classes[0]

    def __getitem__(self, name: str) -> type[T]:
        if name not in self._classes:
            if name not in self._paths:
                raise UnknownName(self._noun, name, self._paths)
            self._classes[name] = self._load_class(self._paths[name])
        return self._classes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
