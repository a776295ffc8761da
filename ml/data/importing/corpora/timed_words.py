"""Transcripts of recognizers and annotators beside audio clips: CTM, HTK's master label files, ELAN.

https://github.com/usnistgov/SCTK/blob/master/doc/infmts.htm, the HTK book, https://www.mpi.nl/tools/elan/EAF.pdf.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.xml import read_xml
from ml.data.issues import DataRejected
from ml.data.tables.speech_file_names import find_parallel
from ml.data.tables.speech_manifests import is_audio_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.importing.corpora.base import CorpusFiles

_SUFFIXES: Final = (".ctm", ".mlf", ".eaf")
#: Clip, channel, start and duration in seconds, a word, and perhaps how sure it is.
_CTM: Final = re.compile(r"(?P<clip>\S+) \S+ (?P<start>[\d.]+) [\d.]+ (?P<word>\S+)(?: [-\d.NA]+)?(?: \S+)*")
#: The clip of the lines below it.
_MLF_CLIP: Final = re.compile(r'"(?:.*[/\\*])?(?P<clip>[^"/\\*]+)"')
_MLF_WORD: Final = re.compile(r"(?:\d+ \d+ )?(?P<word>\S+)(?: .*)?")
#: Pauses and ends of sentences.
_SILENCES: Final = ("sil", "sp", "<s>", "</s>", "<eps>", "!ENTER", "!EXIT", "sent-start", "sent-end", "h#", "pau")


def read(upload: CorpusFiles) -> None:
    """Replace such files by a list of clips, or parts of them, and their texts."""
    names = [name for name in upload.names if PurePosixPath(name).suffix.lower() in _SUFFIXES]
    clips: dict[str, list[str]] = {}
    for name in filter(is_audio_file, upload.names) if names else ():
        clips.setdefault(PurePosixPath(name).stem, []).append(name)
    if not clips:
        return
    for name, text in upload.read_texts(names).items():
        rows = [
            {"audio_filepath": clip, **row}
            for stem, row in _rows(name, text)
            if (clip := find_parallel(PurePosixPath(name).with_name(stem), clips.get(stem, []))) is not None
        ]
        if rows:
            upload.remove([name])
            upload.add_rows(f"{name}.jsonl", rows)


def _rows(name: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the stem of a clip with what is said in it."""
    match PurePosixPath(name).suffix.lower():
        case ".ctm":
            yield from _join(_ctm_words(text))
        case ".mlf":
            yield from _join(_mlf_words(text))
        case _:
            yield from ((PurePosixPath(name).stem, part) for part in _elan_parts(text))


def _join(words: Mapping[str, Sequence[tuple[float, str]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for clip, timed in words.items():
        spoken = [word for _, word in sorted(timed, key=lambda pair: pair[0]) if word not in _SILENCES]
        yield clip, {"text": " ".join(spoken)}


def _ctm_words(text: str) -> dict[str, list[tuple[float, str]]]:
    words: dict[str, list[tuple[float, str]]] = {}
    for line in text.splitlines():
        if match := _CTM.fullmatch(" ".join(line.split())):
            start = float(match["start"]) if match["start"].count(".") < 2 else 0.0
            words.setdefault(PurePosixPath(match["clip"]).stem, []).append((start, match["word"]))
    return words


def _mlf_words(text: str) -> dict[str, list[tuple[float, str]]]:
    words: dict[str, list[tuple[float, str]]] = {}
    clip: str | None = None
    for line in map(str.strip, text.splitlines()):
        if match := _MLF_CLIP.fullmatch(line):
            clip = PurePosixPath(match["clip"]).stem
        elif line == ".":
            clip = None
        elif clip is not None and (match := _MLF_WORD.fullmatch(line)):
            timed = words.setdefault(clip, [])
            timed.append((float(len(timed)), match["word"].strip('"')))
    return words


def _elan_parts(text: str) -> Iterator[dict[str, Any]]:
    """Yield the aligned annotations of tiers that depend on no other.

    A tier is a speaker.
    """
    try:
        root = read_xml(text.encode())
    except DataRejected:
        return
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    tiers = [tier for tier in root.iter("TIER") if tier.get("PARENT_REF") is None]
    for tier in tiers:
        speaker = tier.get("PARTICIPANT") or (tier.get("TIER_ID") if len(tiers) > 1 else None)
        for part in tier.iter("ALIGNABLE_ANNOTATION"):
            start, end = (times.get(part.get(f"TIME_SLOT_REF{number}")) for number in (1, 2))
            words = (part.findtext("ANNOTATION_VALUE") or "").strip()
            if words and start is not None and end is not None and start.isdecimal() and end.isdecimal():
                spoken = {"start": int(start) / 1000, "end": int(end) / 1000, "text": words}
                yield {**spoken, **({"speaker": speaker} if speaker else {})}
