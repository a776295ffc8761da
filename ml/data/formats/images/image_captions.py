"""Images with a text of their name beside each, as in WebDataset."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Final

from ml.data.files import images
from ml.data.files.ignored import is_ignored
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.formats.images._annotations import UploadFiles
from ml.data.issues import Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

#: More than a table of captions, less than YOLO, whose labels are texts beside images as well.
SURE: Final = 1.8
#: A usual manifest beside such texts is what its owner means.
UNSURE: Final = 1.1
TEXT_SUFFIXES: Final = (".txt", ".caption")
JSON_SUFFIX: Final = ".json"
#: Suffix of a class in WebDataset.
LABEL_SUFFIX: Final = ".cls"
JSON_CAPTION_NAMES: Final = ("caption", "text", "txt", "prompt", "description")
#: Fraction of the images that need a text for the format to be detected.
MIN_FRACTION: Final = 0.5
#: A line of numbers as YOLO writes them.
YOLO_LINE: Final = re.compile(r"\s*\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}\s*", re.IGNORECASE)
MANIFEST_NAMES: Final = ("metadata", "captions", "labels", "annotations", "manifest")
MANIFEST_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


class ImageCaptions(Format):
    """`<image>.png` with `<image>.txt` in its folder or another one; also `.caption`, `.json` and `.cls`."""

    name = "image_captions"
    summary = (
        "Zip or tar of images with a text file of its name for each, which holds its caption; also shards of "
        "WebDataset with .txt, .json or .cls"
    )
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "text": "text", "label": "label"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign if most images have a text of their name."""
        paths = [PurePosixPath(name) for source in sources for name in source.member_names]
        image_stems = {path.stem for path in paths if path.suffix.lower() in images.SUFFIXES}
        suffixes = _suffixes(required)
        texts = [path for path in paths if path.suffix.lower() in suffixes and not is_ignored(path.name)]
        has_pair = any(path.stem in image_stems for path in texts)
        if not has_pair or len({path.stem for path in texts}) < MIN_FRACTION * len(image_stems):
            return 0
        has_manifest = any(_is_manifest(path) and path.stem not in image_stems for path in paths)
        return super().detect(sources, required) * (UNSURE if has_manifest else SURE)

    def read(self) -> Iterator[Batch]:
        """Yield the images that have a text, archive by archive."""
        files = UploadFiles(self.sources, self.issues, self.limits)
        column, texts = self._read_values(files)
        pending: dict[str | None, list[tuple[str, bytes]]] = {}
        byte_counts: dict[str | None, int] = {}
        for image, data in files.read_images(texts):
            split = files.choose_split(image, image)
            rows = pending.setdefault(split, [])
            rows.append((image, data))
            byte_counts[split] = byte_counts.get(split, 0) + len(data)
            if len(rows) >= ROWS_PER_BATCH or byte_counts[split] >= BYTES_PER_BATCH:
                yield _batch(pending.pop(split), column, texts, split)
                byte_counts[split] = 0
        for split, rows in pending.items():
            yield _batch(rows, column, texts, split)

    def _read_values(self, files: UploadFiles) -> tuple[str, dict[str, str]]:
        """Return the canonical column, and the caption or class of each image that has one.

        A text file has precedence over JSON. Files that are not read become issues.
        """
        column, suffixes = self._choose_suffixes(files)
        values: dict[str, str] = {}
        others = []
        for suffix in suffixes:
            for file, data in files.read_texts(files.with_suffix(suffix)):
                image = None if is_ignored(file) else files.find_image(PurePosixPath(file).stem, near=file)
                if image is None:
                    others.append(file)
                elif image not in values and (value := self._decode(file, data)) is not None:
                    values[image] = value
        others += files.with_suffix_other_than(*suffixes, *images.SUFFIXES)
        for file in others:
            self.issues.add("file_ignored", at=Location(file=file))
        for image in files.images:
            if image not in values:
                self.issues.add("image_without_caption", at=Location(file=image))
        return column, values

    def _choose_suffixes(self, files: UploadFiles) -> tuple[str, tuple[str, ...]]:
        """Choose between captions and classes, as the task requires."""
        has_captions = bool(files.with_suffix(*TEXT_SUFFIXES))
        if self.required_columns is not None:
            is_label = "label" in self.required_columns and "text" not in self.required_columns
        else:
            is_label = bool(files.with_suffix(LABEL_SUFFIX)) and not has_captions
        return ("label", (LABEL_SUFFIX,)) if is_label else ("text", (*TEXT_SUFFIXES, JSON_SUFFIX))

    def _decode(self, file: str, data: bytes) -> str | None:
        """Return the caption or class in a file; None without one."""
        try:
            text = data.decode("utf-8-sig").strip()
            if file.lower().endswith(JSON_SUFFIX):
                return _caption_of(json.loads(text))
        except (ValueError, RecursionError) as error:
            self.issues.add("not_text", at=Location(file=file), actual=error, rows=1)
            return None
        lines = text.splitlines()
        if lines and all(YOLO_LINE.fullmatch(line) for line in lines):
            self.issues.add("caption_of_numbers", at=Location(file=file, line=1), actual=lines[0], rows=1)
            return None
        return " ".join(text.split())


def _suffixes(required: Mapping[str, str] | None) -> tuple[str, ...]:
    if required is None:
        return (*TEXT_SUFFIXES, LABEL_SUFFIX)
    return (*TEXT_SUFFIXES, JSON_SUFFIX) if "text" in required else (LABEL_SUFFIX,)


def _is_manifest(path: PurePosixPath) -> bool:
    return path.suffix.lower() in MANIFEST_SUFFIXES and any(word in path.stem.lower() for word in MANIFEST_NAMES)


def _caption_of(content: object) -> str | None:
    if not isinstance(content, dict):
        return None
    captions = (content[name] for name in JSON_CAPTION_NAMES if isinstance(content.get(name), str))
    return next(captions, None)


def _batch(rows: Sequence[tuple[str, bytes]], column: str, texts: Mapping[str, str], split: str | None) -> Batch:
    columns = {"image": [data for _, data in rows], column: [texts[image] for image, _ in rows]}
    return Batch(columns, Locations([image for image, _ in rows]), split)
