"""Files of objects that are not read: results for COCO, and tables of VIA.

https://cocodataset.org/#format-results, https://www.robots.ox.ac.uk/~vgg/software/via/.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from ml.data.files.images import SUFFIXES
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.importing.corpora.base import CorpusFiles

#: The first detection: an image, and a score or a caption, but no id of its own.
_FIRST: Final = re.compile(r"\s*\[\s*\{(?P<fields>(?:[^{}]|\{[^{}]*\})*)\}")
#: First columns of the CSV that the VGG Image Annotator exports.
_VIA_TABLE: Final = "filename,file_size,file_attributes,region_count"
_ANNOTATIONS: Final = re.compile(r'"(annotations|images)"\s*:')


class _Format(NamedTuple):
    """A format of objects in images, by the beginning of its files."""

    name: str
    start: re.Pattern[str]
    way_out: str


#: The name of an image at the beginning of a line.
_IMAGE: Final = r"\S[^,\n]*\.(?:jpe?g|png|bmp|webp)"
_CAPTIONED: Final = "metadata.jsonl with file_name and text for captions; questions about images are not learned"
_CONVERTED: Final = "COCO, YOLO or Pascal VOC: Datumaro and Roboflow convert it"
_FORMATS: Final = (
    _Format(
        "CreateML",
        re.compile(r"\s*\[\s*\{[^]]*\"coordinates\"\s*:\s*\{\s*\"(x|y|width|height)\""),
        "COCO or YOLO, which Roboflow exports, too",
    ),
    _Format(
        "BDD100K",
        re.compile(
            r"\s*\[\s*\{\s*\"name\"\s*:[^]]*\"(box2d|videoName|attributes\"\s*:\s*\{\s*\"(weather|scene|timeofday))\""
        ),
        _CONVERTED,
    ),
    _Format("Supervisely", re.compile(r"\s*\{.*\"classTitle\"\s*:", re.DOTALL), _CONVERTED),
    _Format("Labelbox", re.compile(r"\s*\{\s*\"data_row\"\s*:"), _CONVERTED),
    _Format("SageMaker Ground Truth", re.compile(r"\s*\{\s*\"source-ref\"\s*:"), _CONVERTED),
    _Format(
        "DOTA", re.compile(r"(imagesource:.*\n)?(gsd:.*\n)?(-?\d+(\.\d+)? ){8}[a-z]\S* [012]\s*(\n|$)"), _CONVERTED
    ),
    _Format("VisDrone", re.compile(r"(\d+,){4}[01],\d{1,2},-?[01],[012],?\s*(\n|$)"), _CONVERTED),
    _Format("WIDER FACE", re.compile(rf"{_IMAGE}\n\d+ *\n(-?\d+ ){{3,9}}-?\d+\s*(\n|$)", re.IGNORECASE), _CONVERTED),
    _Format(
        "a list of images with boxes, as keras-yolo3 and YOLOv4 have it",
        re.compile(rf"{_IMAGE}( -?[\d.]+(,-?[\d.]+){{3}},\d+)+\s*(\n|$)", re.IGNORECASE),
        _CONVERTED,
    ),
    _Format(
        "RetinaNet's CSV without names of columns",
        re.compile(rf"{_IMAGE},(-?[\d.]+,){{4}}[^,\n]+\s*(\n|$)", re.IGNORECASE),
        "the same with a first line: filename,xmin,ymin,xmax,ymax,class",
    ),
    _Format(
        "conversations about images, as LLaVA's",
        re.compile(r"\s*\[\s*\{(?=[^\[]*\"(image|images|video)\"\s*:)[^\[]*\"conversations\"\s*:"),
        _CAPTIONED,
    ),
    _Format(
        "questions about images",
        re.compile(r"\s*\[\s*\{(?=[^\]]*\"image(_id)?\"\s*:)(?=[^\]]*\"answers?\"\s*:)[^\]]*\"question\"\s*:"),
        _CAPTIONED,
    ),
    _Format("VQA", re.compile(r"\s*\{.*\"(task_type|data_subtype)\"\s*:", re.DOTALL), _CAPTIONED),
)
#: MOT's rows of numbers are those of many tables; this is the name of its files.
_MOT_FILE: Final = "gt/gt.txt"
_CROWD_SUFFIX: Final = ".odgt"


def refuse_formats(upload: CorpusFiles, required_columns: Mapping[str, str] | None) -> None:
    """Raise `DataRejected` for annotations of a format that is not read.

    They are read as something else, or not at all, if a task needs no objects.
    """
    has_images = any(PurePosixPath(name).suffix.lower() in SUFFIXES for name in upload.names)
    if not has_images or (required_columns is not None and "objects" not in required_columns):
        return
    crowds = next((name for name in upload.names if name.lower().endswith(_CROWD_SUFFIX)), None)
    if crowds is not None:
        raise DataRejected("content_not_read", actual="CrowdHuman", expected=_CONVERTED, at=Location(file=crowds))
    for source in upload.sources:
        prefix = f"{source.name}/" if source.content in ("zip", "tar") else ""
        for name, start in source.text_starts.items():
            text = start.decode("utf-8", "replace").replace("\r\n", "\n")
            match = next((form for form in _FORMATS if form.start.match(text)), None)
            if match is None and f"/{name}".endswith(f"/{_MOT_FILE}"):
                match = _Format("MOT", re.compile(""), _CONVERTED)
            if match is not None:
                at = Location(file=f"{prefix}{name}")
                raise DataRejected("content_not_read", actual=match.name, expected=match.way_out, at=at)


def read(upload: CorpusFiles) -> None:
    """Leave out results beside annotations, and refuse them alone, as well as tables of VIA."""
    results: list[str] = []
    tables: list[str] = []
    has_annotations = False
    for source in upload.sources:
        prefix = f"{source.name}/" if source.content in ("zip", "tar") else ""
        for name, start in source.text_starts.items():
            text = start.decode("utf-8", "replace")
            if text.startswith(_VIA_TABLE):
                at = Location(file=f"{prefix}{name}")
                expected = "JSON, as VIA exports it, too"
                upload.issues.add("content_not_read", at=at, actual="a table of VIA", expected=expected)
                tables.append(f"{prefix}{name}")
            if _are_results(text):
                results.append(f"{prefix}{name}")
            has_annotations |= name.lower().endswith(".json") and _ANNOTATIONS.search(text) is not None
    for name in results:
        if has_annotations:
            upload.issues.add("list_not_learned", at=Location(file=name), actual="COCO results, without ground truth")
        else:
            expected = "COCO annotations: images, annotations, categories"
            upload.issues.add(
                "content_not_read",
                at=Location(file=name),
                actual="COCO results, without ground truth",
                expected=expected,
            )
    upload.remove([*results, *tables])


def _are_results(start: str) -> bool:
    match = _FIRST.match(start)
    fields = set(re.findall(r'"(\w+)"\s*:', match["fields"])) if match else set()
    is_detection = {"image_id", "score", "category_id"} <= fields
    is_caption = fields == {"image_id", "caption"}
    return is_detection or is_caption
