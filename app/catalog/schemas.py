"""Names of the catalog as string enums of the API reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from typing_extensions import TypeAliasType

from app.dependencies import read_catalog
from ml.spec.catalog import Catalog

JSONSchema: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class _NamesOf:
    """Shows a string as an enum of catalog names.

    The catalog is read when the document is built, not at import.
    Values are not validated by it: the routes check names against the catalog, and suggest similar ones.
    """

    names: Callable[[Catalog], Iterable[str]]

    def __get_pydantic_json_schema__(self, _core_schema: Any, _handler: Any) -> JSONSchema:
        return {"type": "string", "enum": sorted(self.names(read_catalog()))}


Task = TypeAliasType("Task", Annotated[str, _NamesOf(lambda catalog: catalog.tasks)])
DatasetFormat = TypeAliasType("DatasetFormat", Annotated[str, _NamesOf(lambda catalog: catalog.formats)])
