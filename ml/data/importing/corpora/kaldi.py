"""Data folders of Kaldi: `wav.scp`, `text`, `utt2spk` and `segments`.

https://kaldi-asr.org/doc/data_prep.html.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.importing.corpora.base import by_folder
from ml.data.tables.speech_manifests import is_audio_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.data.importing.corpora.base import CorpusFiles

_AUDIO: Final = "wav.scp"
_TEXT: Final = "text"
_SPEAKERS: Final = "utt2spk"
_SEGMENTS: Final = "segments"


def read(upload: CorpusFiles) -> None:
    """Replace the lists of every data folder by one of clips, texts, speakers and segments."""
    for files in by_folder(upload.names).values():
        if _AUDIO not in files or not files.keys() & {_TEXT, _SEGMENTS, _SPEAKERS}:
            continue
        names = [files[name] for name in (_AUDIO, _TEXT, _SPEAKERS, _SEGMENTS) if name in files]
        texts = upload.read_texts(names)
        lists = {PurePosixPath(name).name: _parse(text) for name, text in texts.items()}
        upload.remove(names)
        upload.add_rows(files.get(_TEXT, files[_AUDIO]), _rows(lists))


def _parse(text: str) -> dict[str, str]:
    """Return what stands behind the first word of each line."""
    pairs = (line.strip().partition(" ") for line in text.replace("\t", " ").splitlines() if line.strip())
    return {first: rest.strip() for first, _, rest in pairs}


def _rows(lists: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of all utterances, in the order of the texts."""
    clips, texts, speakers = (lists.get(name, {}) for name in (_AUDIO, _TEXT, _SPEAKERS))
    segments = lists.get(_SEGMENTS)
    for utterance in texts or segments or clips:
        row: dict[str, Any] = {"audio_filepath": _file_of(clips.get(utterance, utterance))}
        if segments is not None:
            recording, _, times = segments.get(utterance, "").partition(" ")
            start, end, *_ = [*times.split(), "", ""]
            row = {"audio_filepath": _file_of(clips.get(recording, recording)), "start": start, "end": end}
        if texts:
            row["text"] = texts[utterance]
        if utterance in speakers:
            row["speaker"] = speakers[utterance]
        yield row


def _file_of(command: str) -> str:
    """Return the audio file of a line.

    It may be a command that writes it: `flac -c -d a.flac |`.
    """
    if not command.endswith("|"):
        return command
    words = command.rstrip("| ").split()
    return next((word.strip("'\"") for word in words if is_audio_file(word.strip("'\""))), command)
