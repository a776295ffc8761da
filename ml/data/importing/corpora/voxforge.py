"""VoxForge: folders of a speaker with `etc/PROMPTS` and `wav`.

https://www.voxforge.org/home/docs/faq/faq/what-is-the-format-of-the-prompts-file.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.importing.corpora.base import by_folder
from ml.data.tables.speech_manifests import is_audio_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.data.importing.corpora.base import CorpusFiles

#: The prompts as written come before those in capitals.
_LISTS: Final = ("prompts-original", "PROMPTS", "prompts")
_FOLDER: Final = "etc"


def read(upload: CorpusFiles) -> None:
    """Replace the prompts of every speaker by a list of clips, texts and speakers."""
    folders = by_folder(upload.names)
    for folder, files in folders.items():
        path = PurePosixPath(folder)
        listed = [name for name in _LISTS if name in files]
        clips = {
            PurePosixPath(name).stem: clip
            for sibling, names in folders.items()
            if PurePosixPath(sibling).parent == path.parent and sibling != folder
            for name, clip in names.items()
            if is_audio_file(name)
        }
        if path.name.lower() != _FOLDER or not listed or not clips:
            continue
        texts = upload.read_texts([files[listed[0]]])
        rows = [row for text in texts.values() for row in _rows(text, clips, path.parent.name)]
        if rows:
            upload.remove([files[name] for name in listed])
            upload.add_rows(f"{folder}/{listed[0]}.jsonl", rows)


def _rows(text: str, clips: Mapping[str, str], speaker: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a list, whose lines have a clip and its words."""
    for line in text.splitlines():
        name, _, words = line.strip().partition(" ")
        stem = PurePosixPath(name).name
        if words:
            yield {"audio_filepath": clips.get(stem, stem), "text": words.strip(), "speaker": speaker}
