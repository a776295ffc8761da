"""Zips that are created while they are sent."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from app.models.zip_stream import stream_zip, zip_length

FILES = {"manifest.json": b"{}", "encoders/größe.onnx": bytes(3_000_000), "empty": b"", "weights": b"\x01" * 1_048_577}


@pytest.mark.parametrize("files", [FILES, {}, {f"{number}.txt": b"x" for number in range(70_000)}])
def test_the_length_of_a_zip_is_known_before_it_is_made(files: dict[str, bytes]) -> None:
    content = b"".join(stream_zip(list(files), lambda path: io.BytesIO(files[path])))
    assert len(content) == zip_length({path: len(data) for path, data in files.items()})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == list(files)


def test_the_length_is_right_beyond_the_limits_of_32_bits(tmp_path: Path) -> None:
    sizes = {"first": 2**31, "second": 10, "third": 20}
    for name, size in sizes.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    start = 2**31
    stream = stream_zip(list(sizes), lambda path: (tmp_path / path).open("rb"), start=start)
    assert start + sum(map(len, stream)) == zip_length(sizes)


@pytest.mark.parametrize("start", [0, 1, 60, 2_000_000, 3_000_500, 4_048_700, 4_049_000])
def test_a_zip_can_begin_at_any_byte(start: int) -> None:
    whole = b"".join(stream_zip(list(FILES), lambda path: io.BytesIO(FILES[path])))
    rest = b"".join(stream_zip(list(FILES), lambda path: io.BytesIO(FILES[path]), start=start))
    assert rest == whole[start:]
