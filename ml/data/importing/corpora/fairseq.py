"""Manifests of fairseq: a folder, then lines of a path and its frames.

Texts stand beside them, in a file with as many lines.

https://github.com/facebookresearch/fairseq/tree/main/examples/wav2vec.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from ml.data.importing.corpora.base import by_folder
from ml.data.issues import Location
from ml.data.tables.speech_manifests import is_audio_file

if TYPE_CHECKING:
    from ml.data.importing.corpora.base import CorpusFiles

#: Suffixes of the texts, the likeliest first: words, characters, phonemes, cluster numbers.
_TEXT_SUFFIXES: Final = (".wrd", ".ltr", ".phn", ".km")
_LETTERS: Final = ".ltr"
_FRAMES: Final = re.compile(r"(?P<path>[^\t]+)\t(?P<frames>\d+)")


def read(upload: CorpusFiles) -> None:
    """Replace every manifest and its texts by a list of clips and texts."""
    names = upload.names
    if not any(map(is_audio_file, names)):
        return  # the tables of another upload may be large
    for files in by_folder(names).values():
        for name in [name for name in files if PurePosixPath(name).suffix == ".tsv"]:
            lines = upload.read_texts([files[name]]).get(files[name], "").splitlines()
            clips = [match for line in lines[1:] if (match := _FRAMES.fullmatch(line))]
            if not clips or "\t" in lines[0] or len(clips) < len(lines) - 1 or not is_audio_file(clips[0]["path"]):
                continue
            _replace(upload, files, name, lines[0].strip(), [clip["path"] for clip in clips])


def _replace(upload: CorpusFiles, files: dict[str, str], name: str, root: str, paths: list[str]) -> None:
    stem = name.removesuffix(".tsv")
    suffix = next((suffix for suffix in _TEXT_SUFFIXES if stem + suffix in files), None)
    text_files = [files[stem + ending] for ending in _TEXT_SUFFIXES if stem + ending in files]
    rows = [{"audio_filepath": str(PurePosixPath(root) / path)} for path in paths]
    if suffix is not None:
        text_file = files[stem + suffix]
        texts = upload.read_texts([text_file]).get(text_file, "").splitlines()
        if len(texts) != len(paths):
            actual, expected = f"{len(texts):,} lines", f"{len(paths):,} clips of {name}"
            upload.issues.add("line_counts_differ", at=Location(file=text_file), actual=actual, expected=expected)
        joined = [_join_letters(text) if suffix == _LETTERS else text.strip() for text in texts]
        rows = [{**row, "text": text} for row, text in zip(rows, joined, strict=False)]
    for text_file in text_files[1:]:
        expected = f"{stem}{suffix}, which is read"
        upload.issues.add("file_ignored", at=Location(file=text_file), expected=expected)
    upload.remove([files[name], *text_files])
    upload.add_rows(files[name], rows)


def _join_letters(text: str) -> str:
    """Return the words of divided characters: `H I | Y O U |`."""
    return "".join(text.split()).replace("|", " ").strip()
