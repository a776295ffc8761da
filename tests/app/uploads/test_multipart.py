"""The form parser, with bodies cut at any place."""

from __future__ import annotations

import asyncio
import random
import unicodedata
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from app.http.errors import ProblemError
from app.uploads.multipart import MAX_FIELD_BYTES, Form, parse_folder_path, read_form, safe_filename

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BOUNDARY = b"----b0undary"


def part(disposition: str, content: bytes) -> bytes:
    return b"--" + BOUNDARY + f"\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


def close_form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def parse(pieces: Sequence[bytes], folder: Path, *, with_checksums: bool = False) -> Form:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    headers = [(b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    return asyncio.run(read_form(request, folder, check_space=lambda _: None, with_checksums=with_checksums))


@pytest.mark.parametrize("seed", range(5))
def test_a_form_is_parsed_alike_however_it_is_cut(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    content = rng.randbytes(50_000) + b"\r\n--" + BOUNDARY[:-1] + b"\r\n-" + rng.randbytes(500)
    body = close_form(
        part('name="name"', b"digits"),
        part('name="file"; filename="../../etc/a b.png"', content),
        part('name="file"; filename="b.png"', b""),
        part('name="columns"', b""),
    )
    cuts = sorted(rng.sample(range(len(body)), 40))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    form = parse(pieces, tmp_path, with_checksums=True)

    assert form.fields == {"name": "digits", "columns": ""}
    assert [file.filename for file in form.files] == ["a_b.png", "b.png"]
    assert form.files[0].path.read_bytes() == content
    assert form.files[1].path.read_bytes() == b""
    assert all(file.path.parent == tmp_path for file in form.files)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"not a form at all", 422),
        (part('name="file"; filename="a"', b"never closed"), 422),
        (close_form(part('filename="a"', b"a file without a name")), 422),
        (close_form(part('name="name"', b"\xff\xfe")), 422),
        (close_form(part('name="name"', b"x" * (MAX_FIELD_BYTES + 1))), 413),
        (close_form(*[part('name="name"', b"x")] * 1001), 413),
    ],
)
def test_an_invalid_form_is_rejected(tmp_path: Path, body: bytes, status: int) -> None:
    with pytest.raises(ProblemError) as caught:
        parse([body], tmp_path)
    assert caught.value.status_code == status


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_a_filename_never_leaves_its_folder(name: str) -> None:
    safe = safe_filename(name)
    assert 1 <= len(safe.encode()) <= 150
    assert not safe.startswith(".")
    assert not set("/\\\0") & set(safe)
    assert safe.isprintable()
    assert safe_filename(safe) == safe


@pytest.mark.parametrize("name", ["pets/cat/1.png", "a/b c.png", "größe/été 1.jpg", "d/.hidden", "a/b/c/d/e.txt"])
def test_the_path_of_a_file_in_a_folder_is_kept(tmp_path: Path, name: str) -> None:
    body = close_form(part(f'name="file"; filename="{name}"', b"1"))
    [file] = parse([body], tmp_path).files
    assert file.folder_path == name
    assert "/" not in file.filename


@pytest.mark.parametrize(
    "name",
    [
        "1.png",
        "/etc/passwd",
        "../../etc/passwd",
        "a/../../b",
        "a//b",
        "a/./b",
        "a/",
        "C:\\fakepath\\1.png",
        "a\x00/b",
        f"{'a/' * 40}b",
        f"a/{'b' * 1000}",
    ],
)
def test_a_path_that_could_leave_its_folder_is_a_plain_name(name: str) -> None:
    assert parse_folder_path(name) is None


@pytest.mark.parametrize("name", ["三国.txt", "Größe.csv", "データ.zip", "a-b_c.tar.gz"])
def test_a_filename_keeps_the_characters_of_its_script(name: str) -> None:
    assert safe_filename(f"C:\\data\\{name}") == name
    assert safe_filename(unicodedata.normalize("NFD", name)) == unicodedata.normalize("NFC", name)


@given(st.binary(max_size=2000))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_parsed_or_rejected(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    folder = tmp_path_factory.mktemp("form")
    with suppress(ProblemError):  # Anything else would be a 500.
        parse([b"--" + BOUNDARY + b"\r\n" + body], folder)
