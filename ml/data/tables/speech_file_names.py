"""Transcripts and speakers that the names of files tell.

Corpora such as LibriTTS and VCTK have a text file for each audio clip, and a folder for each speaker.
"""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Endings of the stem of a transcript, the likeliest to be spoken like that first: LibriTTS has the text as printed,
#: too.
_STEM_ENDINGS: Final = (".normalized", "", ".original")
#: Ending of the stem of a clip that was recorded by one of several microphones, as in VCTK.
_MICROPHONE: Final = re.compile(r"_mic\d+$")
_TEXT_SUFFIXES: Final = (".txt", ".lab")


def match_transcripts(texts: Iterable[str], clips: Iterable[str]) -> dict[str, list[str]]:
    """Return the transcripts of each clip, the best first, by their names.

    A transcript is called like its clip and lies in the same folder; or it is the only one of the upload with that
    name. Clips of several microphones share a transcript, which counts for the first of them.
    """
    by_stem: dict[str, list[str]] = {}
    for clip in sorted(clips):
        by_stem.setdefault(_MICROPHONE.sub("", PurePosixPath(clip).stem), []).append(clip)
    matches: dict[str, list[tuple[int, str]]] = {}
    for text in texts:
        path = PurePosixPath(text)
        if path.suffix.lower() not in _TEXT_SUFFIXES:
            continue
        for rank, ending in enumerate(_STEM_ENDINGS):
            match = _find_clip(path, path.stem.removesuffix(ending), by_stem) if path.stem.endswith(ending) else None
            if match is not None:
                matches.setdefault(match, []).append((rank, text))
                break
    return {clip: [text for _, text in sorted(ranked)] for clip, ranked in matches.items()}


def _find_clip(text: PurePosixPath, stem: str, by_stem: Mapping[str, list[str]]) -> str | None:
    clips = by_stem.get(stem, [])
    folders = {PurePosixPath(clip).parent for clip in clips}
    beside = [clip for clip in clips if PurePosixPath(clip).parent == text.parent]
    if beside:
        return beside[0]
    return clips[0] if len(folders) == 1 else find_parallel(text, clips)


def find_parallel(text: PurePosixPath, clips: Sequence[str]) -> str | None:
    """Return the clip in the folder whose end is most like that of a text.

    It is `wav/s1/0.wav` for `txt/s1/0.txt`. Returns None if there are several such folders.
    """
    folders = text.parent.parts
    depths = {clip: _shared_end(folders, PurePosixPath(clip).parent.parts) for clip in clips}
    deepest = [clip for clip in clips if depths[clip] == max(depths.values())]
    return deepest[0] if len({PurePosixPath(clip).parent for clip in deepest}) == 1 else None


def _shared_end(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many folders at the end of two paths are equal."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def find_speakers(clips: Iterable[str]) -> dict[str, str]:
    """Return the speaker of each clip; empty unless the names of all clips tell it.

    The speaker is a folder with a number in its name, one or two above the clip, by whose name that of the clip begins:
    `p225/p225_001.wav`, `84/121123/84-121123-0000.flac`.
    """
    speakers: dict[str, str] = {}
    for clip in clips:
        path = PurePosixPath(clip)
        folders = [part for part in path.parts[-3:-1] if any(character.isdigit() for character in part)]
        speaker = next((folder for folder in folders if re.match(rf"{re.escape(folder)}[-_]", path.name)), None)
        if speaker is None:
            return {}
        speakers[clip] = speaker
    return speakers if len(set(speakers.values())) > 1 else {}
