"""Text files of any encoding: which one it is, and their lines, in pieces of bounded size."""

from __future__ import annotations

import codecs
import io
import re
from typing import IO, TYPE_CHECKING, Final

from ml.data.findings import Place, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.findings import Findings
    from ml.data.limits import Limits
    from ml.data.sources import Source

LONGEST_LINE: Final = 16 << 20
_PIECE: Final = 1 << 20
_BLOCK_LETTERS: Final = 4 << 20
_HIGH_BYTES: Final = re.compile(rb"[\x80-\xff]+")


def open_text(source: Source, findings: Findings, limits: Limits) -> IO[str]:
    """The decoded text with plain newlines; the encoding is a finding where it is not UTF-8."""
    encoding = _encoding(source, findings, limits)
    return io.TextIOWrapper(source.open(limits), encoding=encoding, newline=None)


def lines(text: IO[str], *, before: int = 0) -> Iterator[str]:
    """Line by line; raises `Refused` at one that is far too long. `before` lines were read already."""
    number = before
    while line := text.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith("\n"):
            raise Refused(
                "cell_too_large", expected=f"lines of at most {LONGEST_LINE:,} letters", at=Place(line=number)
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


def _encoding(source: Source, findings: Findings, limits: Limits) -> str:
    with source.open(limits) as file:
        start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if _undecodable(source, "utf-16", limits) is not None:
            raise Refused("not_text", found="damaged UTF-16", at=Place(file=source.name))
        return "utf-16"
    line = _undecodable(source, "utf-8-sig", limits)
    if line is None:
        return "utf-8-sig"
    guess = next(
        (name for name in _guesses(source, limits) if _undecodable(source, name, limits) is None),
        "latin-1",  # which can read anything
    )
    findings.add("encoding_guessed", at=Place(file=source.name, line=line), found=guess, expected="UTF-8")
    return guess


def _undecodable(source: Source, encoding: str, limits: Limits) -> int | None:
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


def _guesses(source: Source, limits: Limits) -> tuple[str, ...]:
    """Chinese letters are pairs of high bytes; those of Western languages stand alone among others."""
    with source.open(limits) as file:
        runs = [len(run) for run in _HIGH_BYTES.findall(file.read(_PIECE))]
    paired = sum(run for run in runs if run % 2 == 0)
    return ("gb18030", "cp1252") if paired * 2 > sum(runs) else ("cp1252",)
