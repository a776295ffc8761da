"""Recognition of text formats that are not read: ARFF, SVMlight, XLIFF, gettext."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ml.data.files.upload import UploadedFile


class ForeignText(NamedTuple):
    """A format by its beginning, and how to bring its data."""

    name: str
    #: Matches the first line that is no comment.
    first_line: re.Pattern[str]
    way_out: str


_FORMATS: Final = (
    ForeignText(
        "ARFF",
        re.compile(r"@relation\b.*", re.IGNORECASE),
        "CSV: the names of the attributes as first line, and the lines below @data",
    ),
    ForeignText(
        "SVMlight",
        re.compile(r"[-+]?\d+(\.\d+)?( qid:\d+)?( +\d+:[-+.\deE]+)+\s*(#.*)?"),
        "CSV with a column for each feature: sklearn.datasets.load_svmlight_file reads them",
    ),
    ForeignText("XLIFF", re.compile(r"(<\?xml[^>]*>)?\s*<xliff\b.*"), "TMX, or a TSV of sources and targets"),
    ForeignText("gettext", re.compile(r'msgid ".*"'), "TMX (po2tmx of the Translate Toolkit), or a TSV"),
)
_COMMENT: Final = re.compile(r"%|#|<\?xml[^>]*\?>\s*$")
_INSPECTED_LINES: Final = 20


def find_foreign_text(source: UploadedFile) -> ForeignText | None:
    """Return the format of a text that would be read as prose, or None."""
    start = b"".join(source.text_starts.values()).decode("utf-8-sig", "replace")
    lines = (line.strip() for line in start.splitlines()[:_INSPECTED_LINES])
    first = next((line for line in lines if line and not _COMMENT.match(line)), "")
    return next((format for format in _FORMATS if format.first_line.fullmatch(first)), None)
