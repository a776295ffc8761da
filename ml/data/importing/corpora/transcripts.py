"""Transcripts with times beside audio clips: subtitles, NIST's STM, JSON of Whisper, TextGrid of Praat.

https://github.com/usnistgov/SCTK/blob/master/doc/infmts.htm.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.formats._markup import read_cues
from ml.data.importing.corpora.base import by_folder
from ml.data.importing.corpora.textgrid import read_segments
from ml.data.tables.speech_file_names import find_parallel
from ml.data.tables.speech_manifests import is_audio_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.importing.corpora.base import CorpusFiles

_SUFFIXES: Final = (".srt", ".vtt", ".stm", ".json", ".textgrid")
#: Name, channel, speaker, start and end in seconds, perhaps labels, and the text.
_STM: Final = re.compile(
    r"(?P<file>\S+) \S+ (?P<speaker>\S+) (?P<start>[\d.]+) (?P<end>[\d.]+) (?:<[^>]*> )?(?P<text>.*\S)"
)
_NOT_SCORED: Final = "ignore_time_segment_in_scoring"


def read(upload: CorpusFiles) -> None:
    """Replace transcripts by a list of the parts of clips, their texts and speakers."""
    clips: dict[str, list[str]] = {}
    for name in filter(is_audio_file, upload.names):
        clips.setdefault(PurePosixPath(name).stem, []).append(name)
    transcripts = [name for name in upload.names if PurePosixPath(name).suffix.lower() in _SUFFIXES] if clips else []
    clip_of = {name: clip for name in transcripts if (clip := _find_clip(name, clips)) is not None}
    texts = upload.read_texts(clip_of)
    rows = {name: list(_rows(name, text, clip_of[name])) for name, text in texts.items()}
    read = {name: parts for name, parts in rows.items() if parts}
    if len(read) < len(texts) or not read:
        return  # JSON of another kind
    upload.remove(read.keys())
    for folder, files in by_folder(read).items():
        parts = [row for name in files.values() for row in read[name]]
        upload.add_rows(f"{folder}/transcripts.jsonl".removeprefix("./"), parts)


def _find_clip(name: str, clips: Mapping[str, Sequence[str]]) -> str | None:
    """Return the clip of a transcript, whose name may end in a language: `a.en.vtt`.

    It lies beside it or in a parallel folder.
    """
    path = PurePosixPath(name)
    candidates = clips.get(path.stem) or clips.get(path.stem.rpartition(".")[0], ())
    return find_parallel(path, candidates) if candidates else None


def _rows(name: str, text: str, clip: str) -> Iterator[dict[str, Any]]:
    match PurePosixPath(name).suffix.lower():
        case ".stm":
            for line in text.splitlines():
                if (match := _STM.fullmatch(line.strip())) and match["text"] != _NOT_SCORED:
                    yield {"audio_filepath": clip, **match.groupdict(), "file": clip}
        case ".textgrid":
            yield from ({"audio_filepath": clip, **segment} for segment in read_segments(text))
        case ".json":
            yield from ({"audio_filepath": clip, **segment} for segment in _segments(text))
        case _:
            cues = read_cues(text.splitlines(keepends=True))
            yield from ({"audio_filepath": clip, "start": cue.start, "end": cue.end, "text": cue.text} for cue in cues)


def _segments(text: str) -> list[dict[str, Any]]:
    """Return the parts that Whisper has transcribed; empty for other JSON."""
    try:
        segments = json.loads(text)["segments"]
        return [{key: segment[key] for key in ("start", "end", "text")} for segment in segments]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
