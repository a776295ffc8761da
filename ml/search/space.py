"""Settings by path: set them in a fine-tuning, and read those that it has."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ml.search.schema import SearchRange

if TYPE_CHECKING:
    from ml.search.schema import Dimension, Space

#: Fields of a fine-tuning below which settings may be searched for.
SEARCHABLE: Final = ("architecture", "architectures", "encoders", "objective", "schedule", "seed", "task", "tuning")
#: A number of the job counts as that of a list of choices from which it differs by at most this fraction.
SAME_NUMBER: Final = 0.25


def apply_parameters(job: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Set values by path in the JSON of a fine-tuning; returns a copy.

    A name is expanded where a path leads into its options: `tuning.config.rank` makes `{"name": "lora", "config":
    {"rank": 4}}` of "lora". Raises `LookupError` if a path leads into something else that has no fields.
    """
    document = copy.deepcopy(dict(job))
    # A name before its options.
    for path, value in sorted(parameters.items(), key=lambda item: item[0].count(".")):
        *parents, last = path.split(".")
        parent = document
        for name in parents:
            inner = parent.get(name)
            if isinstance(inner, str):
                inner = {"name": inner}
            elif inner is None:
                inner = {}
            elif not isinstance(inner, dict):
                raise LookupError(f"{name} has no fields")
            parent[name] = parent = inner
        parent[last] = value
    return document


def read_path(document: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path; None if there is none.

    `architecture` is the only one of a resolved job, which has them by slot.
    """
    architectures = document.get("architectures") or {}
    if path.partition(".")[0] == "architecture" and "architecture" not in document and len(architectures) == 1:
        document = {**document, "architecture": next(iter(architectures.values()))}
    value: Any = document
    for name in path.split("."):
        if isinstance(value, str) and name != "name":
            return None
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def current_parameters(space: Space, request: Mapping[str, Any], resolved: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the settings of a job as a point of the space.

    Returns None if one of them lies outside. They come from the request, and where it names none from the resolved job.
    """
    parameters: dict[str, Any] = {}
    for path, dimension in space.items():
        value = read_path(request, path)
        place = _place(dimension, read_path(resolved, path) if value is None else value)
        if place is None:
            return None
        parameters[path] = place
    return parameters


def _place(dimension: Dimension, value: Any) -> Any:
    if isinstance(dimension, SearchRange):
        is_inside = _is_number(value) and dimension.low <= value <= dimension.high
        return value if is_inside else None
    name = value.get("name") if isinstance(value, Mapping) else None
    for choice in dimension:
        if choice == value or (name is not None and choice == name):
            return choice
    numbers = [choice for choice in dimension if _is_number(choice)]
    if not _is_number(value) or not numbers:
        return None
    nearest = min(numbers, key=lambda choice: abs(choice - value))
    return nearest if abs(nearest - value) <= SAME_NUMBER * abs(nearest) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
