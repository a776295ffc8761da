"""Tatoeba's exports: `sentences.csv` with a language, and `links.csv` between translations.

https://tatoeba.org/en/downloads.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from ml.data.files.text import open_lines
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.data.files.upload import UploadedFile
    from ml.data.importing.corpora.base import CorpusFiles

_SENTENCES: Final = re.compile(r"(\w+_)?sentences(_\w+)?\.(csv|tsv)", re.IGNORECASE)
_LINKS: Final = re.compile(r"([\w-]+_)?links\.(csv|tsv)", re.IGNORECASE)
_SENTENCE: Final = re.compile(r"(?P<id>\d+)\t(?P<language>[a-z]{2,4}|\\N)\t(?P<text>[^\t\n]*)")
_LINK: Final = re.compile(r"(\d+)\t(\d+)\s*")
#: Column of Hugging Face datasets with a text by language.
_TRANSLATION: Final = "translation"
MAX_LISTED_LANGUAGES: Final = 10


def read(upload: CorpusFiles, columns: Mapping[str, str | int]) -> None:
    """Replace sentences and links by the pairs of two languages.

    `columns` may name the languages: `{"text": "eng", "target": "deu"}`. Raises `DataRejected` if there are more than
    two and none are named.
    """
    tables = [source for source in upload.sources if source.content == "text"]
    sentences = [source for source in tables if _fits(source, _SENTENCES, _SENTENCE)]
    links = [source for source in tables if _fits(source, _LINKS, _LINK)]
    if not sentences or not links:
        return
    requested = [str(columns[side]) for side in ("text", "target") if side in columns]
    texts, languages = _read_sentences(sentences, requested, upload)
    if len(languages) != 2:
        actual = f"sentences in {', '.join(languages) or 'no language'}"
        raise DataRejected(
            "content_not_read", actual=actual, expected="two languages", at=Location(file=sentences[0].name)
        )
    first, second = languages
    linked: set[int] = set()
    pairs = ({first: text, second: target} for text, target in _pairs(links, texts, linked, upload))
    names = [source.name for source in (*sentences, *links)]
    upload.remove(names)
    # Without a request the first language by name is the source, as of two files in two languages.
    rows = pairs if requested else ({_TRANSLATION: dict(sorted(pair.items()))} for pair in pairs)
    upload.add_rows(" and ".join(names), rows)
    if len(texts) > len(linked):
        upload.issues.add("sentences_not_linked", at=Location(file=names[0]), count=len(texts) - len(linked))


def _fits(source: UploadedFile, name: re.Pattern[str], line: re.Pattern[str]) -> bool:
    start = b"".join(source.text_starts.values()).decode("utf-8", "replace")
    is_named = name.fullmatch(PurePosixPath(source.name).name) is not None
    return is_named and line.match(start.partition("\n")[0]) is not None


def _lines(source: UploadedFile, upload: CorpusFiles) -> Iterator[str]:
    try:
        yield from open_lines(source, "utf-8-sig", upload.limits)
    except UnicodeDecodeError:
        raise DataRejected("not_text", expected="UTF-8", at=Location(file=source.name)) from None


def _read_sentences(
    sources: list[UploadedFile], requested: list[str], upload: CorpusFiles
) -> tuple[dict[int, tuple[int, str]], list[str]]:
    """Return id -> side and text of the sentences of two languages, and the languages.

    More than two languages are returned without texts.
    """
    languages = list(requested)
    texts: dict[int, tuple[int, str]] = {}
    for source in sources:
        for line in _lines(source, upload):
            match = _SENTENCE.match(line)
            if match is None or (len(requested) == 2 and match["language"] not in requested):
                continue
            if match["language"] not in languages:
                languages.append(match["language"])
            if len(languages) > MAX_LISTED_LANGUAGES:
                return {}, [*languages, "..."]
            if len(languages) <= 2:
                texts[int(match["id"])] = languages.index(match["language"]), match["text"]
            if len(texts) > upload.limits.max_rows:
                raise DataRejected("too_many_rows", expected=f"at most {upload.limits.max_rows:,} sentences")
    return texts, languages


def _pairs(
    sources: list[UploadedFile], texts: Mapping[int, tuple[int, str]], linked: set[int], upload: CorpusFiles
) -> Iterator[tuple[str, str]]:
    """Yield the linked sentences of both languages, and add their ids to `linked`.

    Links stand in both directions, except where a file is about two languages alone.
    """
    is_forward = False
    for sides in ((0, 1), (1, 0)):
        for source in [] if is_forward else sources:
            for line in _lines(source, upload):
                match = _LINK.match(line)
                ids = [int(number) for number in match.groups() if int(number) in texts] if match else []
                if tuple(texts[number][0] for number in ids) == sides:
                    is_forward |= sides == (0, 1)
                    linked.update(ids)
                    text, target = sorted(texts[number] for number in ids)
                    yield text[1], target[1]
