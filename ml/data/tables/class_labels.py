"""Class names in the schema of a Parquet file, as Hugging Face datasets store them.

A column of type `ClassLabel` holds numbers; the names stand in the metadata of the schema.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Written for a row without a label.
NO_CLASS: Final = -1


def column_class_names(metadata: Mapping[bytes, bytes] | None, column: str) -> list[str]:
    """Return the class names of a `ClassLabel` column; empty for another one."""
    return _names(_unwrap(_read_features(metadata).get(column)))


def object_class_names(metadata: Mapping[bytes, bytes] | None, column: str) -> dict[str, list[str]]:
    """Return the class names by field of a column of objects."""
    fields = _unwrap(_read_features(metadata).get(column))
    if not isinstance(fields, dict):
        return {}
    named = {field: _names(_unwrap(feature)) for field, feature in fields.items()}
    return {field: names for field, names in named.items() if names}


def declared_languages(metadata: Mapping[bytes, bytes] | None, column: str) -> list[str]:
    """Return the languages of a `Translation` column in their declared order.

    Empty for another column.
    """
    feature = _read_features(metadata).get(column)
    languages = feature.get("languages") if isinstance(feature, dict) else None
    return [str(language) for language in languages] if isinstance(languages, list) else []


def decode_class(code: Any, class_names: Sequence[str]) -> Any:
    """Return the name of a class, or an unknown number unchanged."""
    if isinstance(code, list) and len(code) == 1:
        code = code[0]
    if not isinstance(code, int) or isinstance(code, bool):
        return code
    if code == NO_CLASS:
        return None
    return class_names[code] if 0 <= code < len(class_names) else code


def decode_objects(cell: Any, class_names: Mapping[str, Sequence[str]]) -> Any:
    """Replace class numbers by their names in the objects of a cell."""
    if isinstance(cell, list):
        return [decode_objects(item, class_names) for item in cell]
    if not isinstance(cell, dict):
        return cell
    return {field: _decode(value, class_names.get(field)) for field, value in cell.items()}


def _decode(value: Any, class_names: Sequence[str] | None) -> Any:
    if not class_names:
        return value
    return (
        [decode_class(code, class_names) for code in value]
        if isinstance(value, list)
        else decode_class(value, class_names)
    )


def _read_features(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _unwrap(feature: Any) -> Any:
    """Return the feature within lists: `Sequence`, `List`, `LargeList`, or brackets."""
    while isinstance(feature, list) or (isinstance(feature, dict) and _is_list(feature)):
        inner = feature if isinstance(feature, list) else [feature["feature"]]
        feature = inner[0] if inner else None
    return feature


def _is_list(feature: Mapping[str, Any]) -> bool:
    return "feature" in feature and isinstance(feature.get("_type"), str)


def _names(feature: Any) -> list[str]:
    names = feature.get("names") if isinstance(feature, dict) else None
    return names if isinstance(names, list) and all(isinstance(name, str) and name for name in names) else []
