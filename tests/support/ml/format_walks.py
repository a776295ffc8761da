"""Walks over formats: each field is used, or reported with its count.

A field is used if another value of it makes another dataset, or an issue, as a size that differs from the image's.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ml.data.report import ImportReport
from tests.support.ml.dataset_files import all_codes, make_zip, upload

Files = Mapping[str, bytes]


class Walk(NamedTuple):
    """Files with every field of a format, and another value for each field."""

    #: Members of one archive, or loose files.
    files: Callable[[], Files]
    #: Field -> (text in the files, another text of the same meaning), for every file or a name.
    fields: Mapping[str, tuple[str, str]]
    is_packed: bool = False
    task: str | None = None


def check_walks(folder: Path, name: str, walks: Sequence[Walk]) -> None:
    """Import the files of every walk, and again for each field that is not reported."""
    for number, walk in enumerate(walks):
        files = walk.files()
        report = _read(folder / f"{number}", walk, files)
        assert report.state == "ready", report.errors
        assert report.summary is not None
        assert report.summary.format == name
        reported = {
            str(sample.get(key)): entry.count
            for entry in report.errors
            for sample in entry.sample
            for key in ("column", "file", "found")
        }
        for field, (value, other) in walk.fields.items():
            assert any(value.encode() in content for content in files.values()), f"no {field} in the files"
            if any(count for text, count in reported.items() if field.rpartition(":")[2] in text):
                continue
            changed = {file: content.replace(value.encode(), other.encode()) for file, content in files.items()}
            again = _read(folder / f"{number} {field}".replace(":", "_"), walk, changed)
            is_used = again.summary is None or _content(again) != _content(report)
            assert is_used, f"{name}: {field} is neither used nor reported"


def _read(folder: Path, walk: Walk, files: Files) -> ImportReport:
    uploaded = {"a.zip": make_zip(list(files.items()))} if walk.is_packed else dict(files)
    return upload(folder, uploaded, task=walk.task)


def _content(report: ImportReport) -> tuple[object, ...]:
    assert report.summary is not None
    return report.summary.digest, report.classes, report.splits, all_codes(report)
