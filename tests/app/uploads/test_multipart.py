"""The form parser: files to the disk whatever the pieces they come in."""

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
from app.uploads.multipart import MAX_FIELD_BYTES, Form, read_form, safe_filename

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BOUNDARY = b"----b0undary"


def part(disposition: str, content: bytes) -> bytes:
    return b"--" + BOUNDARY + f"\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


def closed(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def read(pieces: Sequence[bytes], folder: Path, *, hashed: bool = False) -> Form:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    headers = [(b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    return asyncio.run(read_form(request, folder, check_space=lambda _: None, hashed=hashed))


@pytest.mark.parametrize("seed", range(5))
def test_a_form_is_the_same_however_it_is_cut(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = chance.randbytes(50_000) + b"\r\n--" + BOUNDARY[:-1] + b"\r\n-" + chance.randbytes(500)
    body = closed(
        part('name="name"', b"digits"),
        part('name="file"; filename="../../etc/a b.png"', content),
        part('name="file"; filename="b.png"', b""),
        part('name="columns"', b""),
    )
    cuts = sorted(chance.sample(range(len(body)), 40))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    form = read(pieces, tmp_path, hashed=True)

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
        (closed(part('filename="a"', b"a file without a name")), 422),
        (closed(part('name="name"', b"\xff\xfe")), 422),
        (closed(part('name="name"', b"x" * (MAX_FIELD_BYTES + 1))), 413),
        (closed(*[part('name="name"', b"x")] * 1001), 413),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(tmp_path: Path, body: bytes, status: int) -> None:
    with pytest.raises(ProblemError) as refused:
        read([body], tmp_path)
    assert refused.value.status_code == status


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_a_filename_never_leaves_its_folder(name: str) -> None:
    safe = safe_filename(name)
    assert 1 <= len(safe.encode()) <= 150
    assert not safe.startswith(".")
    assert not set("/\\\0") & set(safe)
    assert safe.isprintable()
    assert safe_filename(safe) == safe


@pytest.mark.parametrize("name", ["三国.txt", "Größe.csv", "データ.zip", "a-b_c.tar.gz"])
def test_a_filename_keeps_the_letters_of_its_script(name: str) -> None:
    assert safe_filename(f"C:\\data\\{name}") == name
    assert safe_filename(unicodedata.normalize("NFD", name)) == unicodedata.normalize("NFC", name)


@given(st.binary(max_size=2000))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    folder = tmp_path_factory.mktemp("form")
    with suppress(ProblemError):  # Anything else would be a 500.
        read([b"--" + BOUNDARY + b"\r\n" + body], folder)
