"""What was sent and cannot be read: everything that is wrong with it at once, misspelt fields and misspelt names alike.

What is wrong is set aside, a misspelt field is read as the one that was meant, and the rest is judged as if it had been
sent so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import ValidationError

from app.http.errors import MAX_LISTED_VALUES, ProblemError, location_path, summarize, to_findings
from app.http.schema_fields import known_fields
from ml.errors import MAX_SHOWN_CHARACTERS, SpecError

T = TypeVar("T")
Schema = Mapping[str, Any]
Place = tuple[str | int, ...]
Errors = Sequence[Any]  # what Pydantic calls ErrorDetails

ROUNDS = 4
"""A field that was mended may show what else is wrong within it."""
STAND_IN = "missing"
"""For a name that nobody gave; what is found at its place is not told."""


def read(validate: Callable[[Any], T], value: Any, *, schema: Schema, judge: Callable[[T], object]) -> T:
    """`value` as `validate` reads it and `judge` lets it pass; raises `ProblemError` 422 with all that is wrong.

    `judge` raises `SpecError`. Where nothing had to be mended, it is not asked: that is for whoever goes on.
    """
    items: list[dict[str, Any]] = []
    wrong: set[Place] = set()
    misspelt: set[Place] = set()
    mended = value
    for _ in range(ROUNDS):
        try:
            asked = validate(mended)
        except ValidationError as error:
            found = error.errors(include_url=False)[:MAX_LISTED_VALUES]
            meant = _meant(found, mended, schema)
            sent = set(meant.values())
            errors = [each for each in found if each["type"] != "missing" or location_path(each, mended) not in sent]
            # What was sent under another name may not be what this one takes; one hint is enough.
            told = [each for each in errors if not _is_within(location_path(each, mended), wrong | misspelt)]
            items += to_findings(told, body=mended, schema=schema)
            misspelt |= sent
            wrong |= {location_path(each, mended) for each in errors if each["type"] != "extra_forbidden"}
            mended = _mended(mended, errors, meant)
        else:
            if not items:
                return asked
            items += _judged(judge, asked, wrong)
            break
    raise ProblemError(422, "invalid_request", summarize(items), errors=items)


def _judged(judge: Callable[[T], object], asked: T, wrong: set[Place]) -> Iterator[dict[str, Any]]:
    try:
        judge(asked)
    except SpecError as error:
        for finding in error.findings:
            if not _is_within(tuple((finding.path or "").split(".")), wrong):
                yield finding.to_json()


def _is_within(place: Place, others: set[Place]) -> bool:
    return any(tuple(map(str, place[: len(other)])) == tuple(map(str, other)) for other in others if other)


def _meant(errors: Errors, value: Any, schema: Schema) -> dict[Place, Place]:
    """Place of a misspelt field -> of the one that was meant, where that was not sent as well."""
    found = {}
    for error in errors:
        if error["type"] != "extra_forbidden":
            continue
        *above, name = location_path(error, value)
        alike = get_close_matches(str(name)[:MAX_SHOWN_CHARACTERS], known_fields(schema, error["loc"]), n=1)
        holder = _at(value, above)
        if alike and isinstance(holder, Mapping) and alike[0] not in holder:
            found[(*above, name)] = (*above, alike[0])
    return found


def _mended(value: Any, errors: Errors, meant: Mapping[Place, Place]) -> Any:
    mended = copy.deepcopy(value)
    for error in errors:
        place = location_path(error, value)
        if not place or not isinstance(holder := _at(mended, place[:-1]), dict):
            continue
        given = holder.pop(place[-1], None)
        if place in meant:
            holder[meant[place][-1]] = given
        elif error["type"] == "missing":
            holder[place[-1]] = STAND_IN
        elif error["type"] == "union_tag_invalid":
            known = [tag.strip(" '") for tag in error["ctx"]["expected_tags"].split(",")]
            holder[place[-1]] = next(iter(get_close_matches(str(given)[:MAX_SHOWN_CHARACTERS], known, n=1)), given)
    return mended


def _at(value: Any, place: Sequence[str | int]) -> Any:
    for part in place:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value
