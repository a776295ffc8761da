"""The folder is the list: a registry is filled by importing every module of one package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Generic, TypeVar

from ml.errors import UnknownName

T = TypeVar("T")


class Registry(Mapping[str, type[T]], Generic[T]):
    """Name -> class. A module `x.py` in the package or below it defines one subclass of `base` whose `name` is `"x"`.

    The module `base` holds the base class and is passed over, and so is a module whose name begins with `_`. An unknown
    name raises `UnknownName`, which lists the known ones.
    """

    def __init__(self, package: str, base: type[T]) -> None:
        self.package = package
        self.base = base

    @cached_property
    def _classes(self) -> dict[str, type[T]]:
        folder = importlib.import_module(self.package)
        paths = [
            module.name for module in pkgutil.walk_packages(folder.__path__, f"{self.package}.") if not module.ispkg
        ]
        homes = {path.rpartition(".")[2]: path for path in paths}
        return {name: self._class_in(homes[name]) for name in sorted(homes) if name != "base" and name[0] != "_"}

    @property
    def _kind(self) -> str:
        return self.package.rpartition(".")[2].removesuffix("s")

    def _class_in(self, path: str) -> type[T]:
        module, name = importlib.import_module(path), path.rpartition(".")[2]
        found = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, self.base) and getattr(value, "name", None) == name
        ]
        if len(found) != 1:
            raise TypeError(f"{module.__name__} must define exactly one {self.base.__name__} whose name is {name!r}")
        return found[0]

    def __getitem__(self, name: str) -> type[T]:
        try:
            return self._classes[name]
        except KeyError:
            raise UnknownName(self._kind, name, self._classes) from None

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)
