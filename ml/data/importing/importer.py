"""Uploaded files -> a dataset, or a report of everything that is wrong with them.

Reading goes batch by batch into a scratch file (`staging`), so that memory does not grow with the upload; splits,
classes and copies are judged when all rows are known, and the dataset is then written in its final form.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from ml.atomic_directory import atomic_directory
from ml.data.dataset import SPLITS, TRAIN, DatasetSummary
from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.upload import UploadedFile
from ml.data.formats import FORMATS
from ml.data.formats.base import UNLIKELY
from ml.data.importing import label_checks, writer
from ml.data.importing.nested_archives import unpack
from ml.data.importing.splits import SplitPlan, assign_splits
from ml.data.importing.staging import LABEL, Staging
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.limits import Limits
from ml.data.report import Guess, ImportReport, ReportEntry, Suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.formats.base import Format

UNLABELLED = (
    "the pictures were read without labels, enough for pretraining and generation; "
    "for a classifier give each of at least two classes a folder, or name a label column"
)
_UNREADABLE = {
    "empty": "empty_file",
    "damaged": "damaged_file",
    "unsupported": "unsupported_file",
    "json list": "json_in_a_list",
}


class Purpose(Protocol):
    """What data can be for, as a task says it."""

    @property
    def columns(self) -> Mapping[str, str]:
        """The canonical columns it must have."""

    def refuse(self, summary: DatasetSummary) -> list[str]:
        """Why this dataset cannot be used, in words for its owner; empty when it can."""


def import_dataset(
    sources: Sequence[Path],
    into: Path,
    *,
    task: str | None = None,
    format: str | None = None,
    columns: Mapping[str, str | int] | None = None,
    splits: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    purposes: Mapping[str, Purpose] | None = None,
) -> ImportReport:
    """Read `sources` and write a dataset to the folder `into`, which must not exist or be empty.

    Any finding of severity "error" rejects the whole upload and nothing is written: a dataset with silent holes is
    worse than none. Warnings and repairs do not. Bad data never raises; a full disk (`OSError`) and a lack of memory
    do. `purposes` are the tasks that data can be for, by name; where none was named, the one that fits is guessed.
    """
    limits = limits or Limits()
    into.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryFile(dir=into.parent) as scratch,
        tempfile.TemporaryDirectory(dir=into.parent) as aside,
        warnings.catch_warnings(action="ignore"),  # what libraries mumble about strange files is in the report
    ):
        run = _Import(scratch, Path(aside), limits, purposes or {}, task=task)
        try:
            run.read(sources, format=format, columns=columns or {}, splits=splits)
        except DataRejected as refused:
            run.issues.record(refused)
        return run.finish(into)


class _Import:
    """One import from beginning to end."""

    def __init__(
        self, scratch: IO[bytes], aside: Path, limits: Limits, purposes: Mapping[str, Purpose], *, task: str | None
    ) -> None:
        self.aside = aside
        """A folder for what is unpacked."""
        self.limits = limits
        self.purposes = purposes
        self.task = task
        self.scratch = scratch
        self.issues = IssueLog(max_samples=limits.max_samples)
        self.staging = Staging(scratch, kinds={}, issues=self.issues, limits=limits)
        self.plan = SplitPlan()
        self.format: Format | None = None

    @property
    def purpose(self) -> Purpose | None:
        """The task that was named."""
        known = self.task is not None and self.task in self.purposes
        return self.purposes[self.task] if known and self.task else None

    def read(
        self,
        paths: Sequence[Path],
        *,
        format: str | None,
        columns: Mapping[str, str | int],
        splits: Mapping[str, Any] | None,
    ) -> None:
        """Stage every row that can be read; raises `DataRejected` where nothing more can be."""
        try:
            self.plan = SplitPlan.of(splits)
        except DataRejected as refused:
            self.issues.record(refused)  # and read on: whatever else is wrong is told in the same answer
        sources = [self._source(path) for path in sorted(paths, key=lambda path: natural_sort_key(path.name))]
        if not sources:
            raise DataRejected("no_files")
        if len(sources) > self.limits.max_members:
            raise DataRejected("archive_too_many_files", expected=f"at most {self.limits.max_members:,}")
        readable = [source for source in sources if self._readable(source)]
        if not readable:
            return
        wanted = self.purpose.columns if self.purpose else None
        readable = self._out_of_envelopes(readable, format, wanted)
        chosen = _format(format, readable, wanted)
        mine = [source for source in readable if source.content in chosen.accepted_content]
        for source in readable:
            if source not in mine:
                expected = f"content for {chosen.name} ({', '.join(sorted(chosen.accepted_content))})"
                self.issues.add("wrong_format", at=Location(file=source.name), actual=source.content, expected=expected)
        if columns and not chosen.has_columns:
            self.issues.add("columns_not_used", actual=", ".join(columns))
        if splits and chosen.split_rule is not None:
            self.issues.add("splits_by_chance", actual=splits, expected=chosen.split_rule)
        self.staging = Staging(self.scratch, kinds=chosen.columns, issues=self.issues, limits=self.limits)
        self.format = chosen(mine, columns=columns, required=wanted, issues=self.issues, limits=self.limits)
        for batch in self.format.read():
            self.staging.add(batch)

    def _out_of_envelopes(
        self, sources: list[UploadedFile], asked: str | None, wanted: Mapping[str, str] | None
    ) -> list[UploadedFile]:
        """Archives that no format knows as one, file by file; as they are where that leads to nothing."""
        if asked is None:
            known = max(form.detect(sources, wanted) for form in FORMATS.values()) > UNLIKELY
            foreign = [] if known else [source for source in sources if source.content in ("zip", "tar")]
        else:
            reads = FORMATS[asked].accepted_content if asked in list(FORMATS) else frozenset(("zip", "tar"))
            foreign = [source for source in sources if source.content in ("zip", "tar") and source.content not in reads]
        found: list[UploadedFile] = []
        for number, source in enumerate(sources):
            inner = unpack(source, self.aside / str(number), self.issues, self.limits) if source in foreign else []
            found += inner or [source]
        return found

    def _source(self, path: Path) -> UploadedFile:
        return UploadedFile(path.name, path, requested_split=self.plan.split_of(path.name))

    def _readable(self, source: UploadedFile) -> bool:
        code = _UNREADABLE.get(source.content)
        if code:
            self.issues.add(code, at=Location(file=source.name))
        return code is None

    def finish(self, into: Path) -> ImportReport:
        """Judge all rows together and, if nothing is wrong, write them."""
        staging, issues = self.staging, self.issues
        if not len(staging):
            if not issues.has_errors:
                issues.add("empty_dataset")
            return self._report(None, accepted=0, said=[])
        classes, codes = label_checks.resolve_classes(staging, issues)
        splits, said = assign_splits(staging, self.plan)
        splits = label_checks.resolve_duplicates(staging, codes, splits, issues)
        for kind in staging.kinds.values():
            kind.finish()
        called = self.format.detected_columns if self.format else {}
        for relation in staging.relations:
            relation.finish(staging, splits, called)
        summary = self._summary(classes, codes, splits)
        if classes is not None:
            label_checks.check_classes(summary.class_counts, codes, staging, issues)
        elif list(summary.columns) == ["image"]:
            said = [*said, UNLABELLED]
        if not (splits == TRAIN).any():
            issues.add("empty_dataset", actual="no row in train")
        if len(staging) < label_checks.FEW_ROWS:
            issues.add("tiny_dataset", actual=f"{len(staging)} rows", expected=f"at least {label_checks.FEW_ROWS}")
        for reason in self.purpose.refuse(summary) if self.purpose else ():
            issues.add("unfit_for_task", actual=reason)
        if not issues.has_errors:
            with atomic_directory(into) as directory:
                digest = writer.write(directory, staging, splits, codes)
                summary = summary.model_copy(update={"digest": digest})
                writer.write_summary(directory, summary)
        return self._report(summary, accepted=int((splits >= 0).sum()), said=said)

    def _summary(self, classes: list[str] | None, codes: np.ndarray, splits: np.ndarray) -> DatasetSummary:
        assert self.format is not None, "rows come from a format"
        kinds = self.staging.kinds
        columns = {name: kind.name for name, kind in kinds.items()} | ({} if classes is None else {LABEL: LABEL})
        held = sorted({name for kind in kinds.values() for name in kind.classes()}, key=natural_sort_key)
        summary = DatasetSummary(
            format=self.format.name,
            task=self.task,
            columns=columns,
            splits={split: int((splits == code).sum()) for code, split in enumerate(SPLITS)},
            classes=held or None if classes is None else classes,
            class_counts={} if classes is None else label_checks.count_classes(classes, codes, splits),
            facts={name: facts for name, kind in kinds.items() if (facts := kind.facts())},
        )
        return summary if self.task else summary.model_copy(update={"task": self._usual_task(summary)})

    def _usual_task(self, summary: DatasetSummary) -> str | None:
        """What such data is usually for: the task that uses most of its columns."""
        fitting = [
            name
            for name, purpose in self.purposes.items()
            if purpose.columns.items() <= summary.columns.items() and not purpose.refuse(summary)
        ]
        return max(fitting, key=lambda name: len(self.purposes[name].columns), default=None)

    def _report(self, summary: DatasetSummary | None, *, accepted: int, said: Sequence[str]) -> ImportReport:
        issues, staging = self.issues, self.staging
        rejected = issues.has_errors
        unlabelled = issues.count("missing_label")
        guess = None
        if self.format is not None:
            guessed_task = self.task or (summary.task if summary else None)
            guess = Guess(format=self.format.name, columns=self.format.detected_columns, task=guessed_task)
        return ImportReport(
            state="rejected" if rejected else "ready",
            rows=len(staging) - unlabelled + issues.rejected_rows,
            accepted=accepted - unlabelled if rejected else accepted,
            repaired=issues.repaired_rows,
            rejected=issues.rejected_rows,
            errors=[
                ReportEntry(
                    code=entry.code, count=entry.count, severity=entry.severity, hint=entry.hint, sample=entry.sample
                )
                for entry in issues.entries
            ],
            splits=summary.splits if summary else {},
            classes=summary.classes if summary else None,
            suggestions=[Suggestion(message=message) for message in said],
            guess=guess,
            summary=None if rejected else summary,
        )


def _format(asked: str | None, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> type[Format]:
    if asked is not None and asked not in list(FORMATS):
        raise DataRejected("unknown_format", actual=asked, expected=", ".join(sorted(FORMATS)))
    if asked is not None:
        return FORMATS[asked]
    likeliness = {name: form.detect(sources, wanted) for name, form in FORMATS.items()}
    best = max(likeliness, key=lambda name: likeliness[name])
    if not likeliness[best]:
        found = f"{sources[0].name}: {sources[0].content}"
        raise DataRejected("format_not_recognised", actual=found, expected=", ".join(sorted(FORMATS)))
    return FORMATS[best]
