"""Files of objects that are not read: results for COCO, and tables of VIA.

https://cocodataset.org/#format-results, https://www.robots.ox.ac.uk/~vgg/software/via/.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ml.data.issues import Location

if TYPE_CHECKING:
    from ml.data.importing.corpora.base import CorpusFiles

#: The first detection: an image, and a score or a caption, but no id of its own.
_FIRST: Final = re.compile(r"\s*\[\s*\{(?P<fields>(?:[^{}]|\{[^{}]*\})*)\}")
#: First columns of the CSV that the VGG Image Annotator exports.
_VIA_TABLE: Final = "filename,file_size,file_attributes,region_count"
_ANNOTATIONS: Final = re.compile(r'"(annotations|images)"\s*:')


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
