"""Text files in any encoding: detection of the encoding, and lines of limited length."""

from __future__ import annotations

import codecs
import io
import re
from typing import IO, TYPE_CHECKING, Final

from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.files.upload import UploadedFile
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

MAX_LINE_CHARACTERS: Final = 16 << 20
_CHUNK_BYTES: Final = 1 << 20
_BLOCK_CHARACTERS: Final = 4 << 20
_PAIRS: Final = re.compile(rb"(?:[\x81-\xfe][\x40-\x7e\x80-\xfe])+")
#: Byte order marks at the start of a text in UTF-16.
UTF_16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: Encoding that decodes any bytes.
FALLBACK_ENCODING: Final = "latin-1"


def open_text(source: UploadedFile, issues: IssueLog, limits: Limits) -> IO[str]:
    """Open a file as text with plain newlines; an encoding other than UTF-8 is reported.

    Raises `DataRejected` if the file is damaged UTF-16.
    """
    encoding = detect_encoding(source, issues, limits)
    return io.TextIOWrapper(source.open(limits), encoding=encoding, newline=None)


def open_lines(source: UploadedFile, encoding: str, limits: Limits) -> Iterator[str]:
    """Yield the lines of a file in a known encoding; raises `DataRejected` like `read_lines`."""
    with io.TextIOWrapper(source.open(limits), encoding=encoding, newline=None) as text:
        yield from read_lines(text)


def read_lines(text: IO[str], *, start: int = 0) -> Iterator[str]:
    """Yield the lines of a text from which `start` lines were read already.

    Raises `DataRejected` at a line of `MAX_LINE_CHARACTERS` or more.
    """
    number = start
    while line := text.readline(MAX_LINE_CHARACTERS):
        number += 1
        if len(line) == MAX_LINE_CHARACTERS and not line.endswith("\n"):
            expected = f"lines of at most {MAX_LINE_CHARACTERS:,} characters"
            raise DataRejected("cell_too_large", expected=expected, at=Location(line=number))
        yield line


def read_blocks(text: IO[str]) -> Iterator[str]:
    """Yield blocks of many whole lines; raises `DataRejected` like `read_lines`."""
    count = 0
    while block := text.read(_BLOCK_CHARACTERS):
        if not block.endswith("\n"):
            block += next(read_lines(text, start=count + block.count("\n")), "")
        count += block.count("\n")
        yield block


def decode_text(data: bytes) -> tuple[str, str | None]:
    """Return a whole text with plain newlines, and its encoding if that was guessed."""
    has_mark = data.startswith(UTF_16_MARKS)
    guesses = guess_encodings(data[:_CHUNK_BYTES])
    for encoding in ("utf-16",) if has_mark else ("utf-8-sig", *guesses):
        try:
            text = data.decode(encoding)
        except UnicodeError:
            continue
        return _normalize_newlines(text), encoding if encoding in guesses else None
    return _normalize_newlines(data.decode(FALLBACK_ENCODING)), FALLBACK_ENCODING


def read_text(file: str, data: bytes, issues: IssueLog) -> str:
    """Decode the content of a file; a guessed encoding is reported.

    Raises `DataRejected` if it is not text.
    """
    text, guess = decode_text(data)
    if guess is not None and data.startswith(UTF_16_MARKS):
        raise DataRejected("not_text", actual="damaged UTF-16", at=Location(file=file))
    if "\0" in text:
        raise DataRejected("not_text", actual="a zero byte", expected="text", at=Location(file=file))
    if guess is not None:
        line = _first_line_not_utf8(data)
        issues.add("encoding_guessed", at=Location(file=file, line=line), actual=guess, expected="UTF-8")
    return text


def _first_line_not_utf8(data: bytes) -> int | None:
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return data[: error.start].count(b"\n") + 1
    return None


def _normalize_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def detect_encoding(source: UploadedFile, issues: IssueLog, limits: Limits) -> str:
    """Return the encoding of a file; one other than UTF-8 is reported.

    Raises `DataRejected` if the file is damaged UTF-16.
    """
    with source.open(limits) as file:
        start = file.read(4)
    if start.startswith(UTF_16_MARKS):
        if _first_undecodable_line(source, "utf-16", limits) is not None:
            raise DataRejected("not_text", actual="damaged UTF-16", at=Location(file=source.name))
        return "utf-16"
    line = _first_undecodable_line(source, "utf-8-sig", limits)
    if line is None:
        return "utf-8-sig"
    guess = next(
        (name for name in _guess_from_start(source, limits) if _first_undecodable_line(source, name, limits) is None),
        FALLBACK_ENCODING,
    )
    issues.add("encoding_guessed", at=Location(file=source.name, line=line), actual=guess, expected="UTF-8")
    return guess


def _first_undecodable_line(source: UploadedFile, encoding: str, limits: Limits) -> int | None:
    """Return the number of the first line not in this encoding, or None."""
    decoder = codecs.getincrementaldecoder(encoding)()
    count = 0
    with source.open(limits) as file:
        while True:
            chunk = file.read(_CHUNK_BYTES)
            try:
                count += decoder.decode(chunk, final=not chunk).count("\n")
            except UnicodeError as error:
                position = error.start if isinstance(error, UnicodeDecodeError) else 0
                return count + chunk[:position].count(b"\n") + 1
            if not chunk:
                return None


def _guess_from_start(source: UploadedFile, limits: Limits) -> tuple[str, ...]:
    with source.open(limits) as file:
        return guess_encodings(file.read(_CHUNK_BYTES))


def guess_encodings(start: bytes) -> tuple[str, ...]:
    """Return candidate encodings of a text that is not UTF-8, likeliest first.

    Chinese characters are pairs of bytes, the first of them high, and follow one another; accented Western characters
    stand alone. The frequent ones have distinct first bytes: 0xB0 to 0xD7 in GB 2312, whose second bytes are high as
    well; 0xA4 to 0xC6 in Big5, whose second bytes are low as often. 0xA1 to 0xA3 are punctuation in both.
    """
    runs = _PAIRS.findall(start)
    pairs = [(run[at], run[at + 1]) for run in runs for at in range(0, len(run), 2)]
    pairs_in_sequence = sum(len(run) // 2 for run in runs if len(run) > 2 or run[1] >= 0x80)
    if 2 * pairs_in_sequence <= len(pairs):
        return ("cp1252",)
    simplified = sum(second >= 0xA1 and (first <= 0xA3 or 0xB0 <= first <= 0xD7) for first, second in pairs)
    traditional = sum(0xA1 <= first <= 0xC6 and not 0x7E < second < 0xA1 for first, second in pairs)
    return ("gb18030", "big5", "cp1252") if simplified >= traditional else ("big5", "gb18030", "cp1252")
