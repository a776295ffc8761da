"""Text of subtitles, lyrics and web pages, without their time stamps and tags.

https://www.w3.org/TR/webvtt1/, https://html.spec.whatwg.org/multipage/parsing.html; SubRip has no specification.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from itertools import chain, groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ml.data.issues import IssueLog

#: Suffixes of files with markup.
MARKUP_SUFFIXES: Final = frozenset({".srt", ".vtt", ".sbv", ".ass", ".ssa", ".lrc", ".html", ".htm", ".xhtml"})
_MARKDOWN_SUFFIXES: Final = frozenset({".md", ".rst"})
#: Characters that suffice to recognize markup.
INSPECTED_CHARACTERS: Final = 4_096
_FEED_CHARACTERS: Final = 1 << 20
_CLOCK: Final = r"(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}"
_CUE_TIME: Final = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}.*")
_CUE_TIMES: Final = re.compile(rf"({_CLOCK})\s*(?:-->|,)\s*({_CLOCK})")
_SBV_TIME: Final = re.compile(rf"{_CLOCK},{_CLOCK}\s*")
#: Without tags about the song, times have hundredths: those of chats are hours and minutes.
_LYRICS: Final = re.compile(r"(?:\[[a-z]+:[^\]\n]*\]\s*)+\[\d{1,3}:\d{2}(?:[.:]\d{1,3})?\]|\[\d{1,3}:\d{2}\.\d{1,3}\]")
_LYRICS_TAG: Final = re.compile(
    r"\[(?:\d{1,3}:\d{2}(?:[.:]\d{1,3})?|(?:ar|ti|al|au|by|la|re|ve|length|offset):[^\]]*)\]"
)
_CUE_TAG: Final = re.compile(r"</?[a-zA-Z0-9][^<>\n]*>|\{\\[^{}\n]*\}")
_HTML: Final = re.compile(
    r"(?:<\?xml[^>]*>\s*|<!--(?:(?!-->).)*-->\s*)*"
    r"<(?:!doctype html|html|head|body|div|article|section|table|p|h[1-6]|ul|ol)\b",
    re.IGNORECASE | re.DOTALL,
)
_WIKI_DOCUMENT: Final = re.compile(r'<doc id="')
_XML: Final = re.compile(r"<\?xml\b|<(?:mediawiki|TEI|tt)\b")
#: Elements whose content is no text of the page.
_HIDDEN: Final = frozenset({"head", "script", "style", "template", "noscript", "svg", "math", "iframe", "textarea"})
#: Elements within a line; all others begin and end lines.
_INLINE: Final = frozenset(
    {
        *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins"),
        *("kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time"),
        *("tt", "u", "var", "wbr"),
    }
)


class Markup(NamedTuple):
    """A kind of markup and the function that strips it.

    It is None for XML, which has text in any place.
    """

    name: str
    strip: Callable[[Iterable[str]], Iterator[str]] | None


def find_markup(start: str) -> Markup | None:
    """Return the markup of a text by its first characters; None for prose."""
    start = start[:INSPECTED_CHARACTERS].removeprefix("\ufeff").lstrip()
    first, _, rest = start.partition("\n")
    second = rest.partition("\n")[0]
    if re.match(r"WEBVTT(\s|$)", first):
        return Markup("WebVTT subtitles", _strip_cues)
    if _CUE_TIME.fullmatch(first) or (first.strip().isdecimal() and _CUE_TIME.fullmatch(second)):
        return Markup("SubRip subtitles", _strip_cues)
    if _SBV_TIME.fullmatch(first):
        return Markup("SBV subtitles", _strip_cues)
    if first.strip().lower() == "[script info]":
        return Markup("SubStation Alpha subtitles", _strip_dialogue)
    if _LYRICS.match(start):
        return Markup("LRC lyrics", _strip_lyrics)
    if _HTML.match(start) or _WIKI_DOCUMENT.match(start):
        return Markup("HTML" if _HTML.match(start) else "WikiExtractor's documents", _strip_html)
    return Markup("XML", None) if _XML.match(start) else None


class Cue(NamedTuple):
    """A text that is shown or said between two times, in seconds."""

    start: float
    end: float
    text: str


def read_cues(lines: Iterable[str]) -> Iterator[Cue]:
    """Yield the cues of subtitles that have a text."""
    for block in _blocks(lines):
        times = [number for number, line in enumerate(block) if _is_cue_time(line)]
        for start, end in zip(times, [*times[1:], len(block) + 1], strict=False):
            text = " ".join(filter(None, map(_strip_tags, block[start + 1 : end - 1])))
            if text and (match := _CUE_TIMES.match(block[start].strip())):
                yield Cue(_to_seconds(match[1]), _to_seconds(match[2]), text)


def _to_seconds(clock: str) -> float:
    """Return the seconds of hours, minutes and seconds."""
    seconds = 0.0
    for part in clock.replace(",", ".").split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def strip_markup(lines: Iterable[str], file: str, issues: IssueLog) -> Iterator[str]:
    """Yield the lines of a file without its markup.

    Markup becomes an issue. Tags are part of Markdown, which stays as it is. Raises `DataRejected` for XML.
    """
    if PurePosixPath(file).suffix.lower() in _MARKDOWN_SUFFIXES:
        return iter(lines)
    iterator = iter(lines)
    start: list[str] = []
    while sum(map(len, start)) < INSPECTED_CHARACTERS and (line := next(iterator, None)) is not None:
        start.append(line)
    markup = find_markup("".join(start))
    whole = chain(start, iterator)
    if markup is None:
        return whole
    if markup.strip is None:
        expected = "the text alone, without tags, as txt"
        raise DataRejected("content_not_read", actual=markup.name, expected=expected, at=Location(file=file))
    issues.add("markup_removed", at=Location(file=file), actual=markup.name)
    return markup.strip(whole)


def _strip_cues(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines that are shown.

    A line that equals the one before it, as where captions roll, is shown once.
    """
    shown = (text for block in _blocks(lines) for line in _cue_text(block) if (text := _strip_tags(line)))
    for text, _ in groupby(shown):
        yield f"{text}\n"


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines between blank ones."""
    for is_blank, block in groupby(lines, key=lambda line: not line.strip()):
        if not is_blank:
            yield list(block)


def _cue_text(block: list[str]) -> Iterator[str]:
    """Yield the lines of a block that are text.

    They follow times, or are the rest of a cue that has a blank line.
    """
    times = [number for number, line in enumerate(block) if _is_cue_time(line)]
    if not times:
        if not re.match(r"\ufeff?WEBVTT|NOTE\b|STYLE\b|REGION\b", block[0]):
            yield from block
        return
    # Cues that no blank line divides: what precedes a time is the number or name of its cue.
    for start, end in zip(times, [*times[1:], len(block) + 1], strict=True):
        yield from block[start + 1 : end - 1]


def _is_cue_time(line: str) -> bool:
    return _CUE_TIME.fullmatch(line.strip()) is not None or _SBV_TIME.fullmatch(line.strip()) is not None


def _strip_tags(line: str) -> str:
    return " ".join(html.unescape(_CUE_TAG.sub("", line)).replace("[br]", " ").split())


def _strip_dialogue(lines: Iterable[str]) -> Iterator[str]:
    """Yield the text of the events, which follows the fields that the section names."""
    field_count = 10
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip().lower() == "format" and "text" in value.lower():
            field_count = value.count(",") + 1
        elif key.strip().lower() == "dialogue":
            text = value.split(",", field_count - 1)[-1].replace(r"\N", " ").replace(r"\n", " ").replace(r"\h", " ")
            if text := _strip_tags(text):
                yield f"{text}\n"


def _strip_lyrics(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if text := _strip_tags(_LYRICS_TAG.sub("", line)):
            yield f"{text}\n"


def _strip_html(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of text of a page, a blank one between its blocks."""
    page = _Page()
    pending: list[str] = []
    length = 0
    for line in lines:
        pending.append(line)
        length += len(line)
        if length >= _FEED_CHARACTERS:
            page.feed("".join(pending))
            pending, length = [], 0
            yield from page.take_lines()
    page.feed("".join(pending))
    page.close()
    page.end_line()
    yield from page.take_lines()


class _Page(HTMLParser):
    """Collects the visible text of a page in lines."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        self._parts: list[str] = []
        #: Open elements that are hidden.
        self._hidden: list[str] = []

    def take_lines(self) -> Iterator[str]:
        """Yield the lines that are complete, and forget them."""
        lines, self._lines = self._lines, []
        for line in lines:
            yield f"{line}\n"
            yield "\n"

    def end_line(self) -> None:
        """Complete the line of text that has begun."""
        text = " ".join("".join(self._parts).split())
        self._parts = []
        if text:
            self._lines.append(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Begin a line at a block, or hide what follows."""
        if tag == "body":
            self._hidden = []  # ends a head that is not closed
        elif tag in _HIDDEN:
            self._hidden.append(tag)
        self._break_at(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Begin a line at an empty block, such as a break."""
        self._break_at(tag)

    def handle_endtag(self, tag: str) -> None:
        """End a line at a block."""
        if tag in self._hidden:
            self._hidden = self._hidden[: self._hidden.index(tag)]
        self._break_at(tag)

    def handle_data(self, data: str) -> None:
        """Collect text that is shown."""
        if not self._hidden:
            self._parts.append(data)

    def _break_at(self, tag: str) -> None:
        if tag not in _INLINE:
            self.end_line()
