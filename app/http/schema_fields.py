"""Which fields there are at a place of a JSON schema: for whoever misspelt one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]


def known_fields(schema: Schema, location: Sequence[str | int]) -> list[str]:
    """The fields of the object that the last part of `location` is in, as Pydantic locates an error.

    What `schema` refers to is within it.
    """
    places = location[1:] if location[:1] and location[0] == "body" else location
    return sorted(_fields(schema, schema, places))


def _fields(document: Schema, schema: Schema, location: Sequence[str | int]) -> set[str]:
    schema = _resolved(document, schema)
    own = schema.get("properties", {})
    if len(location) <= 1 and own:
        return set(own)
    within = _within(document, schema, location)
    if within is not None:
        return within
    # A branch of a union is named in the location, but is no place in what was sent.
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    for rest in (location[1:], location):
        if rest and (found := set().union(*(_fields(document, branch, rest) for branch in branches))):
            return found
    return set()


def _within(document: Schema, schema: Schema, location: Sequence[str | int]) -> set[str] | None:
    if not location:
        return set()
    part, rest = location[0], location[1:]
    tagged = schema.get("discriminator", {}).get("mapping", {})
    if part in tagged:
        return _fields(document, {"$ref": tagged[part]}, rest)
    if part in schema.get("properties", {}):
        return _fields(document, schema["properties"][part], rest)
    if isinstance(part, int) and "items" in schema:
        return _fields(document, schema["items"], rest)
    if isinstance(schema.get("additionalProperties"), Mapping):
        return _fields(document, schema["additionalProperties"], rest)
    return None


def _resolved(document: Schema, schema: Schema) -> Schema:
    while reference := schema.get("$ref"):
        schema = document
        for part in reference.removeprefix("#/").split("/"):
            schema = schema[part]
    return schema
