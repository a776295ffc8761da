"""Recognition of files that would be misread: ARFF, SVMlight, XLIFF, gettext, Excel, NumPy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ml.data.files.upload import UploadedFile


class ForeignFormat(NamedTuple):
    """A format that is not read, and how to bring its data."""

    name: str
    way_out: str


class ForeignText(NamedTuple):
    """A text format by its beginning."""

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
        "sktime's ts",
        re.compile(r"@(problemname|timestamps|univariate|missing|classlabel)\b.*", re.IGNORECASE),
        "CSV with times as columns, and a column for the class: sktime.datasets.load_from_tsfile reads them",
    ),
    ForeignText(
        "SVMlight",
        re.compile(r"([-+]?\d+(\.\d+)?(,\d+)*)?( qid:\d+)?( +\d+:[-+.\deE]+)+\s*(#.*)?"),
        "CSV with a column for each feature: sklearn.datasets.load_svmlight_file reads them",
    ),
    ForeignText("XLIFF", re.compile(r"(<\?xml[^>]*>)?\s*<xliff\b.*"), "TMX, or a TSV of sources and targets"),
    ForeignText("gettext", re.compile(r'msgid ".*"'), "TMX (po2tmx of the Translate Toolkit), or a TSV"),
    ForeignText(
        "MIND's behaviors",
        re.compile(r"\d+\tU\d+\t\d+/\d+/\d{4} [\d:]+ [AP]M\t(N\d+ ?)*\t(N\d+-[01] ?)+"),
        "a table of user, item and time, with a row per reading of an article",
    ),
    ForeignText("mbox", re.compile(r"From \S+ +\w{3} \w{3} [ \d]\d .*\d{4}"), "CSV or JSON lines of the texts"),
    ForeignText(
        "CoNLL-U",
        re.compile(r"\d+(-\d+)?\t[^\t]+\t[^\t]+\t([A-Z]+|_)(\t[^\t]+){6}"),
        "the sentences behind `# text =` as txt, or texts with a label each",
    ),
    ForeignText("RTF", re.compile(r"\{\\rtf\d.*"), "the text as txt"),
    ForeignText("PDF", re.compile(r"%PDF-\d.*"), "the text as txt, such as pdftotext writes it"),
    ForeignText("PostScript", re.compile(r"%!PS.*"), "the text as txt"),
)
#: A column of conversations, and a cell with turns as JSON or as Python prints them.
_CHAT_HEADER: Final = re.compile(
    r'([^\n]*[,;\t])?"?(messages|conversations?|dialogu?e?s?)"?\s*([,;\t\n]|\r)', re.IGNORECASE
)
_CHAT_CELL: Final = re.compile(r"""\[\s*\{\s*["']{1,2}(role|from|content|value)["']{1,2}\s*:""")
_COMMENT: Final = re.compile(r"%(?!PDF-|!PS)|#|<\?xml[^>]*\?>\s*$")
_INSPECTED_LINES: Final = 20


_NUMPY_SUFFIX: Final = ".npy"
_NUMPY: Final = ForeignFormat("NumPy", "images in class folders, IDX or Parquet; tables as CSV")
#: Archives by the end of a name that only they have.
_ARCHIVES: Final = (
    ("[Content_Types].xml", ForeignFormat("Office Open XML, such as xlsx", "the sheet as CSV, or the text as txt")),
    (_NUMPY_SUFFIX, _NUMPY),
)


def find_foreign_format(source: UploadedFile) -> ForeignFormat | None:
    """Return the format of a file that would be misread, or None."""
    if source.content in ("zip", "tar"):
        names = [name for name in source.member_names if not name.endswith("/")]
        formats = (format for end, format in _ARCHIVES if names and names[0].endswith(end))
        return next(formats, None)
    if source.content == "binary" and source.name.lower().endswith(_NUMPY_SUFFIX):
        return _NUMPY
    if source.content not in ("text", "json"):  # RTF begins with a brace
        return None
    start = b"".join(source.text_starts.values()).decode("utf-8-sig", "replace")
    if source.content == "text" and _CHAT_HEADER.match(start) and _CHAT_CELL.search(start):
        return ForeignFormat("conversations in the cells of a table", "JSON lines: an object with messages on each")
    lines = (line.strip() for line in start.splitlines()[:_INSPECTED_LINES])
    first = next((line for line in lines if line and not _COMMENT.match(line)), "")
    texts = (ForeignFormat(text.name, text.way_out) for text in _FORMATS if text.first_line.fullmatch(first))
    return next(texts, None)
