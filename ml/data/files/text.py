"""Text files of any encoding: which one it is, and their lines, in pieces of bounded size."""

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
_PIECE: Final = 1 << 20
_BLOCK_LETTERS: Final = 4 << 20
_PAIRS: Final = re.compile(rb"(?:[\x81-\xfe][\x40-\x7e\x80-\xfe])+")
UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How a text in UTF-16 begins."""
ANY_BYTES: Final = "latin-1"
"""The encoding that can read anything."""


def open_text(source: UploadedFile, findings: IssueLog, limits: Limits) -> IO[str]:
    """The decoded text with plain newlines; the encoding is a finding where it is not UTF-8."""
    encoding = _encoding(source, findings, limits)
    return io.TextIOWrapper(source.open(limits), encoding=encoding, newline=None)


def lines(text: IO[str], *, before: int = 0) -> Iterator[str]:
    """Line by line; raises `DataRejected` at one that is far too long. `before` lines were read already."""
    number = before
    while line := text.readline(MAX_LINE_CHARACTERS):
        number += 1
        if len(line) == MAX_LINE_CHARACTERS and not line.endswith("\n"):
            raise DataRejected(
                "cell_too_large", expected=f"lines of at most {MAX_LINE_CHARACTERS:,} letters", at=Location(line=number)
            )
        yield line


def blocks(text: IO[str]) -> Iterator[str]:
    """Many whole lines at once."""
    count = 0
    while block := text.read(_BLOCK_LETTERS):
        if not block.endswith("\n"):
            block += next(lines(text, before=count + block.count("\n")), "")
        count += block.count("\n")
        yield block


def decoded(data: bytes) -> tuple[str, str | None]:
    """A whole text with plain newlines, and its encoding where that had to be guessed."""
    marked = data.startswith(UTF_16)
    guesses = guesses_of(data[:_PIECE])
    for encoding in ("utf-16",) if marked else ("utf-8-sig", *guesses):
        try:
            text = data.decode(encoding)
        except UnicodeError:
            continue
        return _plain(text), encoding if encoding in guesses else None
    return _plain(data.decode(ANY_BYTES)), ANY_BYTES


def read_text(file: str, data: bytes, findings: IssueLog) -> str:
    """The same of a file, an encoding that was guessed being a finding. Raises `DataRejected` where it is no text."""
    text, guess = decoded(data)
    if guess is not None and data.startswith(UTF_16):
        raise DataRejected("not_text", found="damaged UTF-16", at=Location(file=file))
    if "\0" in text:
        raise DataRejected("not_text", found="a zero byte", expected="text", at=Location(file=file))
    if guess is not None:
        line = _first_not_utf8(data)
        findings.add("encoding_guessed", at=Location(file=file, line=line), found=guess, expected="UTF-8")
    return text


def _first_not_utf8(data: bytes) -> int | None:
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return data[: error.start].count(b"\n") + 1
    return None


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding(source: UploadedFile, findings: IssueLog, limits: Limits) -> str:
    with source.open(limits) as file:
        start = file.read(4)
    if start.startswith(UTF_16):
        if _undecodable(source, "utf-16", limits) is not None:
            raise DataRejected("not_text", found="damaged UTF-16", at=Location(file=source.name))
        return "utf-16"
    line = _undecodable(source, "utf-8-sig", limits)
    if line is None:
        return "utf-8-sig"
    guess = next(
        (name for name in _guesses(source, limits) if _undecodable(source, name, limits) is None),
        ANY_BYTES,
    )
    findings.add("encoding_guessed", at=Location(file=source.name, line=line), found=guess, expected="UTF-8")
    return guess


def _undecodable(source: UploadedFile, encoding: str, limits: Limits) -> int | None:
    """The first line that is not of this encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    count = 0
    with source.open(limits) as file:
        while True:
            piece = file.read(_PIECE)
            try:
                count += decoder.decode(piece, final=not piece).count("\n")
            except UnicodeError as error:
                bad = error.start if isinstance(error, UnicodeDecodeError) else 0
                return count + piece[:bad].count(b"\n") + 1
            if not piece:
                return None


def _guesses(source: UploadedFile, limits: Limits) -> tuple[str, ...]:
    with source.open(limits) as file:
        return guesses_of(file.read(_PIECE))


def guesses_of(start: bytes) -> tuple[str, ...]:
    """Chinese letters are pairs of bytes, the first of them high, and come in rows; Western accents stand alone.

    Frequent letters have first bytes of their own: 0xB0 to 0xD7 in GB 2312, whose second bytes are high as well; 0xA4
    to 0xC6 in Big5, whose second bytes are as often low. 0xA1 to 0xA3 are punctuation in both.
    """
    runs = _PAIRS.findall(start)
    pairs = [(run[at], run[at + 1]) for run in runs for at in range(0, len(run), 2)]
    in_rows = sum(len(run) // 2 for run in runs if len(run) > 2 or run[1] >= 0x80)
    if 2 * in_rows <= len(pairs):
        return ("cp1252",)
    simplified = sum(second >= 0xA1 and (first <= 0xA3 or 0xB0 <= first <= 0xD7) for first, second in pairs)
    traditional = sum(0xA1 <= first <= 0xC6 and not 0x7E < second < 0xA1 for first, second in pairs)
    return ("gb18030", "big5", "cp1252") if simplified >= traditional else ("big5", "gb18030", "cp1252")
