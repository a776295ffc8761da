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
    """Name -> class. A module `x.py` of the package defines one subclass of `base` whose `name` is `"x"`.

    The module `base` holds the base class and is passed over. An unknown name raises `UnknownName`, which lists the
    known ones.
    """

    def __init__(self, package: str, base: type[T]) -> None:
        self.package = package
        self.base = base

    @cached_property
    def _classes(self) -> dict[str, type[T]]:
        folder = importlib.import_module(self.package)
        names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if module.name != "base")
        return {name: self._class_in(name) for name in names}

    @property
    def _kind(self) -> str:
        return self.package.rpartition(".")[2].removesuffix("s")

    def _class_in(self, name: str) -> type[T]:
        module = importlib.import_module(f"{self.package}.{name}")
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
