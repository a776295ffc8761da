"""Strict JSON decoding, and the path of the value that is rejected."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.http.errors import ProblemError
from app.http.strict_json import MAX_NAMES, strict_json


@pytest.mark.parametrize(
    "body",
    [
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b'{"a": [1e999]}',
        b"1" + b"0" * 400,
        b'"\\ud800"',
        b'"\\u0000"',
        b"",
        b"{",
        b"\xff",
    ],
)
def test_a_value_that_json_does_not_have_is_rejected(body: bytes) -> None:
    with pytest.raises(ProblemError) as caught:
        strict_json(body)
    assert caught.value.status_code == 422


def test_deep_json_is_rejected_without_recursion() -> None:
    with pytest.raises(ProblemError):
        strict_json(b"[" * 100_000 + b"]" * 100_000)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_other_json_is_decoded_like_the_standard_library_does(value: Any) -> None:
    assert strict_json(json.dumps(value).encode()) == value


def test_large_finite_numbers_are_accepted() -> None:
    assert strict_json(b"[1e300, 12345678901234567890]") == [1e300, 12345678901234567890]
    assert math.isfinite(strict_json(b"1.7976931348623157e308"))


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"inputs": [{"text": "a"}, {"text": NaN}]}', "inputs.1.text"),
        (b'{"inputs": [\n{"text": "\xc3\xa9"},\n{"pixels": [[1, 2], [3, Infinity]]}]}', "inputs.1.pixels.1.1"),
        (b'{"inputs": [{"text": "a"}, NaN]}', "inputs.1"),
        (b'{"inputs": [NaN]}', "inputs.0"),
        (b'{"inputs": [{"text": "a"}, {"text": "\xff"}]}', "inputs.1.text"),
        (b'{"inputs": [{"text": "a"}, {"text": "b\0"}]}', "inputs.1.text"),
        (b'{"inputs": [{"text": "a"}, {"text": "b\\u0000"}]}', "inputs.1.text"),
        (b'{"inputs": [{"text": "a"}, {"b\\u0000": 1}]}', "inputs.1"),
        (b'{"inputs": [{"pixels": [[1e999]]}, {"text": "a"}]}', "inputs.0.pixels.0.0"),
        (b'{"parameters": {"temperature": -Infinity}}', "parameters.temperature"),
        (b'{"inputs": [{"text": "a"}, {"text": ', "inputs.1.text"),
        (b'{"' + b"a" * 1_000_000 + b'": NaN}', "a" * 80),
        (b"NaN", None),
        (b"", None),
    ],
)
def test_the_finding_has_the_path_of_the_invalid_value(body: bytes, path: str | None) -> None:
    with pytest.raises(ProblemError) as caught:
        strict_json(body)
    (finding,) = caught.value.errors
    assert finding.path == path
    assert finding.hint
    assert finding.hint in caught.value.detail
    assert len(caught.value.detail) < 500
    with pytest.raises(ProblemError) as caught:
        strict_json(body, field="labels")
    assert caught.value.errors[0].path == ("labels" if path is None else f"labels.{path}")


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    assert strict_json(rb'["\\u0000"]') == ["\\u0000"]


@pytest.mark.parametrize("colon", [":", " \n:"])
def test_too_many_field_names_are_rejected_before_decoding(colon: str) -> None:
    few, many = (",".join(f'"f{number}"{colon}0' for number in range(count)) for count in (MAX_NAMES - 1, 1_000_000))
    with pytest.raises(ProblemError, match="limit 200,000"):
        strict_json(f'{{"inputs": [{{{many}}}]}}'.encode())
    assert len(strict_json(f'{{"inputs": [{{{few}}}]}}'.encode())["inputs"][0]) == MAX_NAMES - 1


def test_field_names_within_a_string_are_not_counted() -> None:
    text = json.dumps({"a": 1, "b": 2}) * (MAX_NAMES // 2 + 1)
    assert strict_json(json.dumps([text]).encode()) == [text]
