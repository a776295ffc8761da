"""Validation of requests: lists every fault at once, with suggestions for misspelled fields."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from fastapi import params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from pydantic_core import core_schema
from starlette.requests import Request

from app.http.errors import ProblemError, respond, summarize
from ml.errors import MAX_SHOWN_CHARACTERS, Finding, SpecError, shorten, unknown
from ml.wire.schema_description import describe_field

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response

T = TypeVar("T")
Schema = Mapping[str, Any]
Location = tuple[str | int, ...]
Errors = Sequence[Any]  # of pydantic_core.ErrorDetails

#: Findings listed for one body. An object can have a million unknown fields, and each is compared with the known ones.
MAX_FINDINGS: Final = 100
#: Attempts to validate a body: a corrected field may contain further faults.
MAX_ATTEMPTS: Final = 4
#: Value set for a missing field, so that the rest can be checked; faults in it are not reported.
PLACEHOLDER: Final = "missing"

#: First part of Pydantic's location of an error outside of the body.
_PARAMETER_PLACES = frozenset({"query", "path", "header"})
_TAG_ERRORS = frozenset({"union_tag_invalid", "union_tag_not_found"})
#: Errors whose message is Pydantic's; a validator of ours words its own, with the next step.
_PYDANTIC_ERRORS = frozenset(get_args(core_schema.ErrorType)) - {"value_error"}
#: Beginning of the patterns of names; nobody reads a pattern.
NAME_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._-]"
ALIAS_PATTERN: Final = "^[A-Za-z][A-Za-z0-9._-]*$"
_MISSING_ERRORS = frozenset({"missing", "union_tag_not_found"})
#: Messages for errors that Pydantic words for Python, not for JSON.
_MESSAGES: Mapping[str, str] = {
    "union_tag_invalid": "there is no {tag!r}; known: {expected_tags}",
    "union_tag_not_found": "Field required",
    "model_attributes_type": "Input should be a JSON object",
    "dict_type": "Input should be a JSON object",
    "model_type": "Input should be a JSON object",
    "invalid_alias": "an alias has letters, digits, '.', '_' and '-', and begins with a-z or A-Z, like production",
    "invalid_name": "a name has letters, digits, '.', '_' and '-', and begins with a letter or digit, like my-data.2",
}


def install(app: FastAPI) -> None:
    """Respond to a request that FastAPI cannot validate with a problem document."""
    app.add_exception_handler(RequestValidationError, _respond_invalid)


async def reject_unknown_parameters(request: Request) -> None:
    """Raise `ProblemError` 422 for query parameters that the route does not have.

    Ignored, a misspelled filter would return everything.
    """
    if not request.query_params:
        return
    parameters = _query_parameters(request.scope["route"])
    findings = [
        unknown("query parameter", name, parameters, path=name)
        for name in request.query_params
        if name not in parameters
    ][:MAX_FINDINGS]
    if findings:
        raise ProblemError(422, "invalid_request", summarize(findings), errors=findings)


def _query_parameters(route: APIRoute) -> Sequence[str]:
    fields = get_flat_params(route.dependant)
    return sorted(field.alias for field in fields if isinstance(field.field_info, params.Query))


def _respond_invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    findings = to_findings(error.errors(), body=error.body, schema=_request_schema(request))
    return respond(request, ProblemError(422, "invalid_request", summarize(findings), errors=findings))


def _request_schema(request: Request) -> dict[str, Any]:
    """Return the schema of the route's body, with all components and the route's `parameters`."""
    document = request.app.openapi()
    path = getattr(request.scope.get("route"), "path", "")
    operation = document["paths"].get(path, {}).get(request.method.lower(), {})
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    return {
        **schema,
        "components": document.get("components", {}),
        "parameters": operation.get("parameters", []),
    }


def parse(validate: Callable[[Any], T], value: Any, *, schema: Schema, check: Callable[[T], object]) -> T:
    """Parse a value with Pydantic, and list every fault of an invalid one.

    The faults include those of `check` in the valid parts. Faults are removed and misspelled fields are renamed to the
    closest known ones until `validate` accepts the value. `check` raises `SpecError`. It is not called on a value that
    needed no correction: the caller does that. Raises `ProblemError` 422 with all findings.
    """
    findings: list[Finding] = []
    faulty: set[Location] = set()
    misspelled: set[Location] = set()
    corrected = value
    for _ in range(MAX_ATTEMPTS):
        try:
            result = validate(corrected)
        except ValidationError as error:
            errors = error.errors(include_url=False)[:MAX_FINDINGS]
            intended = _find_intended(errors, corrected, schema)
            targets = set(intended.values())
            errors = [
                item for item in errors if item["type"] != "missing" or location_path(item, corrected) not in targets
            ]
            # A value sent under another name may be invalid for the intended field; one hint is enough.
            reported = [item for item in errors if not _is_within(location_path(item, corrected), faulty | misspelled)]
            findings += to_findings(reported, body=corrected, schema=schema)
            misspelled |= targets
            faulty |= {location_path(item, corrected) for item in errors if item["type"] != "extra_forbidden"}
            corrected = _correct(corrected, errors, intended)
        else:
            if not findings:
                return result
            findings += _check_rest(check, result, faulty)
            break
    raise ProblemError(422, "invalid_request", summarize(findings), errors=findings)


def _check_rest(check: Callable[[T], object], result: T, faulty: set[Location]) -> Iterator[Finding]:
    try:
        check(result)
    except SpecError as error:
        for finding in error.findings:
            if not _is_within(tuple((finding.path or "").split(".")), faulty):
                yield finding


def _is_within(location: Location, ancestors: set[Location]) -> bool:
    parts = tuple(map(str, location))
    return any(parts[: len(ancestor)] == tuple(map(str, ancestor)) for ancestor in ancestors if ancestor)


def _find_intended(errors: Errors, value: Any, schema: Schema) -> dict[Location, Location]:
    """Map each misspelled field to the closest known field that was not sent."""
    intended: dict[Location, Location] = {}
    for error in errors:
        if error["type"] != "extra_forbidden":
            continue
        *parents, name = location_path(error, value)
        close = get_close_matches(str(name)[:MAX_SHOWN_CHARACTERS], known_fields(schema, error["loc"]), n=1)
        parent = _value_at(value, parents)
        if close and isinstance(parent, Mapping) and close[0] not in parent:
            intended[(*parents, name)] = (*parents, close[0])
    return intended


def _correct(value: Any, errors: Errors, intended: Mapping[Location, Location]) -> Any:
    corrected = copy.deepcopy(value)
    for error in errors:
        location = location_path(error, value)
        if not location or not isinstance(parent := _value_at(corrected, location[:-1]), dict):
            continue
        removed = parent.pop(location[-1], None)
        if location in intended:
            parent[intended[location][-1]] = removed
        elif error["type"] == "missing":
            parent[location[-1]] = PLACEHOLDER
        elif error["type"] == "union_tag_invalid":
            tags = [tag.strip(" '") for tag in error["ctx"]["expected_tags"].split(",")]
            close = get_close_matches(str(removed)[:MAX_SHOWN_CHARACTERS], tags, n=1)
            parent[location[-1]] = close[0] if close else removed
    return corrected


def _value_at(value: Any, location: Sequence[str | int]) -> Any:
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def to_findings(errors: Errors, *, body: Any = None, schema: Schema | None = None) -> list[Finding]:
    """Convert Pydantic's errors; `schema` is that of the body, for the names of its fields."""
    return [_to_finding(error, body, schema or {}) for error in errors[:MAX_FINDINGS]]


def _to_finding(error: Mapping[str, Any], body: Any, schema: Schema) -> Finding:
    code = error["type"]
    location = location_path(error, body)
    path = ".".join(str(part) for part in location)
    if code == "extra_forbidden":
        finding = unknown("field", str(location[-1]), known_fields(schema, error["loc"]), path=path)
        return Finding(**{**finding.to_json(), "code": code})
    context = {name: str(value) for name, value in error.get("ctx", {}).items()}
    pattern = context.get("pattern", "")
    if pattern == ALIAS_PATTERN:
        code = "invalid_alias"
    elif pattern.startswith(NAME_PATTERN) and "/" not in pattern:
        code = "invalid_name"
    if "tag" in context:
        context["tag"] = context["tag"][:MAX_SHOWN_CHARACTERS]
    return Finding(
        code=code,
        path=path or None,
        message=_MESSAGES[code].format(**context) if code in _MESSAGES else error["msg"].removeprefix("Value error, "),
        found=context.get("tag") or (None if code in _MISSING_ERRORS else shorten(error.get("input"))),
        hint=_describe_field(schema, error["loc"]) if code in _PYDANTIC_ERRORS else None,
    )


def _describe_field(schema: Schema, location: Location) -> str | None:
    """Describe the values of a field; None if the schema does not have it."""
    names = [part for part in location if isinstance(part, str)]
    if not names:
        return None
    name = names[-1]
    if names[0] in _PARAMETER_PLACES:
        fields: Mapping[str, Schema] = {
            item["name"].lower(): {**item, **item["schema"]} for item in schema.get("parameters", ())
        }
    else:
        fields = _find_fields(schema, schema, names[1:] if names[0] == "body" else names)
    field = fields.get(name.lower() if names[0] in _PARAMETER_PLACES else name)
    return None if field is None else describe_field(name, _dereference(schema, field))


def location_path(error: Mapping[str, Any], body: Any) -> Location:
    """Return where in `body` an error is.

    Pydantic's location also names the branches of unions, which are not part of the body.
    """
    location = error["loc"]
    if location[:1] and location[0] in _PARAMETER_PLACES:
        return tuple(location[1:])
    parts = location[1:] if location[:1] == ("body",) else location
    path, value = [], body
    for position, part in enumerate(parts):
        is_missing = error["type"] == "missing" and position == len(parts) - 1
        container = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(container, Mapping) and part in container:
            value = container[part]
        elif body is not None and not is_missing:
            continue
        path.append(part)
    if error["type"] in _TAG_ERRORS:
        # Pydantic locates the object, and names the field that should tell its kind only in the message.
        path.append(error["ctx"]["discriminator"].strip("'"))
    return tuple(path)


def known_fields(schema: Schema, location: Sequence[str | int]) -> list[str]:
    """List the fields of the object in which an error is located.

    `location` is that of Pydantic's error. References in `schema` point into itself.
    """
    parts = location[1:] if location[:1] and location[0] == "body" else location
    return sorted(_find_fields(schema, schema, parts))


def _find_fields(document: Schema, schema: Schema, location: Sequence[str | int]) -> dict[str, Schema]:
    """Map the fields of the object in which an error is located to their schemas."""
    schema = _dereference(document, schema)
    properties = schema.get("properties", {})
    if len(location) <= 1 and properties:
        return dict(properties)
    fields = _find_nested_fields(document, schema, location)
    if fields is not None:
        return fields
    # The location names the branch of a union, which is not a part of the value.
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    for remainder in (location[1:], location):
        if remainder:
            fields = dict[str, Schema]()
            for branch in branches:
                fields |= _find_fields(document, branch, remainder)
            if fields:
                return fields
    return {}


def _find_nested_fields(document: Schema, schema: Schema, location: Sequence[str | int]) -> dict[str, Schema] | None:
    if not location:
        return {}
    part, remainder = location[0], location[1:]
    references = schema.get("discriminator", {}).get("mapping", {})
    if part in references:
        return _find_fields(document, {"$ref": references[part]}, remainder)
    if part in schema.get("properties", {}):
        return _find_fields(document, schema["properties"][part], remainder)
    if isinstance(part, int) and "items" in schema:
        return _find_fields(document, schema["items"], remainder)
    if isinstance(schema.get("additionalProperties"), Mapping):
        return _find_fields(document, schema["additionalProperties"], remainder)
    return None


def _dereference(document: Schema, schema: Schema) -> Schema:
    while reference := schema.get("$ref"):
        schema = document
        for part in reference.removeprefix("#/").split("/"):
            schema = schema[part]
    return schema
