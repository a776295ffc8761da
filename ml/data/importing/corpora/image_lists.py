"""JSON about images: lists of rows, captions by the ids of COCO, Karpathy's splits.

https://cocodataset.org/#format-results, https://cs.stanford.edu/people/karpathy/deepimagesent/.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.images import SUFFIXES
from ml.data.files.upload import parse_split
from ml.data.tables.column_aliases import ALIASES, plain_name
from ml.data.tables.target_columns import CLASS_NAMES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from ml.data.importing.corpora.base import CorpusFiles

_SUFFIX: Final = ".json"
#: Names of the image of a row, the likeliest first.
_IMAGE_NAMES: Final = (
    *("file_name", "filename", "image", "image_path", "img_path", "image_file", "image_name", "file", "path", "img"),
    *("image_id", "img_id"),
)
_CAPTION_NAMES: Final = ("caption", "captions", "text", "sentence", "sentences", "description")
#: A list of objects, an object with a list of images, or one whose first key is an image.
_START: Final = re.compile(r"\s*(\[\s*\{|\{.*?\"images\"\s*:\s*\[|\{\s*\"[^\"]+\"\s*:\s*[\"\[\d])", re.DOTALL)
_ANNOTATIONS: Final = re.compile(r'"(annotations|categories)"\s*:')
_RESULTS: Final = re.compile(r"result|predict|generated|submission|output", re.IGNORECASE)
#: By this word a table beside images is one about them.
_USUAL_ENDING: Final = ".metadata.jsonl"
#: Names of what a row must have besides its image.
_VALUE_NAMES: Final = (*_CAPTION_NAMES, *ALIASES["label"], *ALIASES["value"], *CLASS_NAMES)
_QUESTION: Final = "question"
#: The number at the end of the name of an image: COCO_val2014_000000391895.
_NUMBER: Final = re.compile(r"(?:.*\D)?0*(\d+)")
#: Split of Karpathy's that others learn from.
_REST: Final = "restval"
#: Fraction of the rows whose image must be in the upload.
_MIN_FRACTION: Final = 0.5


def read(upload: CorpusFiles, required_columns: Mapping[str, str] | None) -> None:
    """Replace such files by rows of an image and what is said about it.

    Nothing is replaced for a task of objects, or beside annotations of COCO. Results of a model are no such list; see
    `unread_objects`.
    """
    if required_columns is not None and "objects" in required_columns:
        return
    images = [name for name in upload.names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    names = [name for name in upload.names if PurePosixPath(name).suffix.lower() == _SUFFIX] if images else []
    starts = _starts(upload)
    if any(_ANNOTATIONS.search(starts.get(name, "")) for name in names):
        return
    candidates = [name for name in names if _START.match(starts.get(name, "")) and not _RESULTS.search(name)]
    if not candidates or len(names) > len(images):
        return
    index = _ImageIndex(images)
    for name, text in upload.read_texts(candidates).items():
        rows = list(_rows(text))
        located = [{**row, "file_name": index.find(str(row["file_name"]))} for row in rows]
        if rows and sum(row["file_name"] is not None for row in located) >= _MIN_FRACTION * len(rows):
            path = PurePosixPath(name)
            upload.remove([name])
            upload.add_rows(
                str(path.with_name(f"{path.stem}{_USUAL_ENDING}")),
                [row if row["file_name"] else rows[position] for position, row in enumerate(located)],
            )


def _starts(upload: CorpusFiles) -> dict[str, str]:
    return {
        f"{source.name}/{name}" if source.content in ("zip", "tar") else name: start.decode("utf-8", "replace")
        for source in upload.sources
        for name, start in source.text_starts.items()
    }


class _ImageIndex:
    """Images of an upload by path, name, stem and number."""

    def __init__(self, images: Collection[str]) -> None:
        self._by_key: dict[str, list[str]] = {}
        for image in images:
            path = PurePosixPath(image)
            tails = {"/".join(path.parts[start:]) for start in range(len(path.parts))}
            number = _NUMBER.fullmatch(path.stem)
            for key in {*tails, path.stem, *([f"#{number[1]}"] if number else [])}:
                self._by_key.setdefault(key, []).append(image)

    def find(self, name: str) -> str | None:
        """Return the only image of a name or number; None without one."""
        path = PurePosixPath(name.replace("\\", "/"))
        tails = ["/".join(path.parts[start:]) for start in range(len(path.parts))]
        keys = [*tails, path.stem, *([f"#{int(name)}"] if name.isdecimal() else [])]
        matches = (self._by_key[key] for key in keys if key in self._by_key)
        first = next(matches, [])
        return first[0] if len(first) == 1 else None


def _rows(text: str) -> Iterator[dict[str, Any]]:
    """Yield rows with a `file_name`; nothing for JSON of another kind."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(content, dict):
        yield from _split_rows(content) if "images" in content else _rows_by_name(content)
    elif isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        image = next((name for name in _IMAGE_NAMES if name in content[0]), None)
        if image is not None and _has_values(content[0]) and all(image in row for row in content):
            for row in content:
                yield from _caption_rows(row, image)


def _has_values(row: Mapping[str, Any]) -> bool:
    """Return whether a row has a caption or class, and nothing within."""
    names = {plain_name(name) for name in row}
    is_flat = not any(isinstance(value, dict) for value in row.values())
    return is_flat and bool(names & set(_VALUE_NAMES)) and _QUESTION not in names


def _rows_by_name(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of an object from image to caption, captions or class."""
    if not all(PurePosixPath(name).suffix.lower() in SUFFIXES for name in content):
        return
    values = [str(value) for value in content.values() if isinstance(value, str | int)]
    column = "label" if 2 * len(set(values)) <= len(values) else "text"
    for name, value in content.items():
        if isinstance(value, list) and all(isinstance(caption, str) for caption in value):
            yield from ({"file_name": name, "text": caption} for caption in value)
        elif isinstance(value, str | int):
            yield {"file_name": name, column: value}


def _caption_rows(row: Mapping[str, Any], image: str) -> Iterator[dict[str, Any]]:
    """Yield rows with one caption; a row without captions is unchanged."""
    others = {key: value for key, value in row.items() if key != image and isinstance(value, str | int | float)}
    captions = next((row[name] for name in _CAPTION_NAMES if isinstance(row.get(name), list)), None)
    if captions is None:
        if any(isinstance(value, list) for value in row.values()):
            return  # objects or turns of a conversation
        yield {"file_name": row[image], **others}
        return
    for caption in captions:
        yield {"file_name": row[image], "text": caption, **others}


def _split_rows(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the sentences about an image as rows, with its split."""
    images = content.get("images")
    for image in images if isinstance(images, list) else ():
        if not isinstance(image, dict) or not isinstance(image.get("sentences"), list):
            return
        split = str(image.get("split", ""))
        split = "train" if split == _REST else (parse_split(split) or "")
        for sentence in image["sentences"]:
            if isinstance(sentence, dict) and "raw" in sentence and "filename" in image:
                row = {"file_name": image["filename"], "text": sentence["raw"]}
                yield {**row, "split": split} if split else row
