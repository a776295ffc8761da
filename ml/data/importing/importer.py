"""Imports uploaded files as a dataset, or reports everything that is wrong with them.

Batches are read into a scratch file (`staging`), so that memory does not grow with the upload. Splits, classes and
duplicates are resolved once all rows are known, and then the dataset is written in its final form.
"""

from __future__ import annotations

import itertools
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from ml.atomic_directory import atomic_directory
from ml.data.dataset import MISSING, SPLITS, TRAIN, DatasetSummary
from ml.data.files.arrow import convert_to_parquet
from ml.data.files.foreign_formats import find_foreign_format
from ml.data.files.ignored import find_descriptions, is_ignored, is_not_learned, is_side_file, is_tool_file
from ml.data.files.json_list import convert_to_lines
from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.token_labels import has_token_labels
from ml.data.files.upload import UploadedFile
from ml.data.flagged_rows import write_flagged_rows
from ml.data.formats import FORMATS
from ml.data.formats._markup import MARKUP_SUFFIXES, find_markup
from ml.data.formats.base import UNLIKELY
from ml.data.importing import writer
from ml.data.importing.classes import (
    FEW_ROWS,
    check_classes,
    count_classes,
    find_rows_to_leave_out,
    find_unlabeled_splits,
    remove_marks,
    resolve_classes,
)
from ml.data.importing.corpora import (
    audio_lists,
    class_files,
    class_list,
    fairseq,
    image_lists,
    kaldi,
    tatoeba,
    timed_words,
    tiny_imagenet,
    transcripts,
    unread_objects,
    voxforge,
)
from ml.data.importing.corpora.base import CorpusFiles
from ml.data.importing.data_card import CardSplits
from ml.data.importing.duplicates import resolve_duplicates
from ml.data.importing.flags import locate_flagged_rows
from ml.data.importing.flatten_archives import flatten, has_nested_archives
from ml.data.importing.layouts import (
    baskets,
    blank_tables,
    json_documents,
    json_rows,
    label_numbers,
    message_trees,
    question_documents,
    title_lines,
)
from ml.data.importing.missing_numbers import find_missing_numbers
from ml.data.importing.nested_archives import unpack
from ml.data.importing.note_files import read_notes
from ml.data.importing.reading import describe_reading
from ml.data.importing.splits import DROPPED, SplitPlan, assign_splits, report_subjects
from ml.data.importing.staging import LABEL, NO_LABEL, Staging
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.item_table import ItemTableSummary
from ml.data.limits import Limits
from ml.data.report import Guess, ImportReport, ReportEntry, Suggestion
from ml.licenses import find_license

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from ml.data.formats.base import Batch, Format
    from ml.data.item_table import ItemTable

UNLABELED_IMAGES: Final = (
    "The images were read without labels, which suffices for pretraining and generation. "
    "For a classifier, put the images of at least two classes in a folder each, or name a label column."
)
#: Fraction of the rows, in 0..1, up to which rows with an error are left out.
MAX_BAD_ROWS: Final = 0.01
_TABLE_SUFFIXES: Final = (".csv", ".tsv")
#: Content that no format reads -> issue code.
_UNREADABLE: Final = {
    "empty": "empty_file",
    "damaged": "damaged_file",
    "unsupported": "unsupported_file",
    "misnamed": "not_a_zip",
    "heic": "image_heic",
    "dicom": "image_dicom",
}


class DatasetRequirements(Protocol):
    """Requirements of a task on a dataset."""

    @property
    def columns(self) -> Mapping[str, str]:
        """Required canonical columns -> their column types."""

    @property
    def optional_columns(self) -> Mapping[str, str]:
        """Further canonical columns that are used if they are there -> their column types."""

    @property
    def separates_subjects(self) -> bool:
        """True if held-out rows are about other subjects (patients, speakers) than train."""

    def check_dataset(self, summary: DatasetSummary) -> list[str]:
        """Return the reasons why a dataset does not fit, empty if it fits."""


class EarlierRows(Protocol):
    """Stored rows that others are appended to."""

    @property
    def summary(self) -> DatasetSummary:
        """Summary of their dataset."""

    @property
    def type_names(self) -> Mapping[str, str]:
        """Canonical column -> name of its column type, without the label."""

    @property
    def held_out_fractions(self) -> tuple[float, float, float]:
        """Fractions of train, validation and test, by which new rows without a split are split."""

    def read(self) -> Iterator[Batch]:
        """Yield all of them, as a format does."""

    def check(self, batches: Iterable[Batch], type_names: Mapping[str, str]) -> Iterator[Batch]:
        """Yield new rows; raises `DataRejected` if they have other columns.

        `type_names`: canonical column -> column type of the format of the new rows.
        """


def import_dataset(
    sources: Sequence[Path],
    into: Path,
    *,
    task: str | None = None,
    format: str | None = None,
    columns: Mapping[str, str | int] | None = None,
    splits: Mapping[str, Any] | None = None,
    quoting: str | None = None,
    limits: Limits | None = None,
    tasks: Mapping[str, DatasetRequirements] | None = None,
    leaves_out_bad_rows: bool = False,
    max_bad_rows: float = MAX_BAD_ROWS,
    earlier: EarlierRows | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> ImportReport:
    """Import uploaded files as a dataset, or append their rows to one.

    An issue of severity "error" rejects the whole upload, and nothing is written: a dataset with silent gaps is worse
    than none. A few rows with an error are left out and listed. Warnings and repairs reject nothing.

    Args:
        sources: Uploaded files.
        into: Folder of the dataset, which must be absent or empty.
        task: Name of the task that the data is for; None to detect one of `tasks` that fits.
        format: Name of the format of the files; None to detect it.
        columns: Canonical column -> column of the file, by name or position from 1.
        splits: `{split: fraction}` with an optional `seed`, or `{file: split}`.
        quoting: Quoting of delimited text: "doubled", "backslash", "none" or "none_backslash"; None to detect it.
        limits: Limits on the upload.
        tasks: Tasks by name.
        leaves_out_bad_rows: Leave out rows with an error instead of rejecting the upload. Errors that concern more than
            single rows reject it all the same.
        max_bad_rows: Fraction of the new rows, in 0..1, up to which rows with an error are left out in any case.
        earlier: Stored rows that come first, in their splits; None to import the files alone.
        on_rows: Called with the number of rows read so far.

    Raises:
        OSError: The disk is full. Bad data never raises.
        DataError: The stored rows are damaged.
        MemoryError: Memory is exhausted.
    """
    limits = limits or Limits()
    into.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryFile(dir=into.parent) as scratch,
        tempfile.TemporaryDirectory(dir=into.parent) as extraction_folder,
        warnings.catch_warnings(action="ignore"),  # the report covers what libraries warn about
    ):
        importer = Importer(
            scratch,
            limits,
            tasks or {},
            task=task or (earlier.summary.task if earlier else None),
            max_bad_rows=1.0 if leaves_out_bad_rows else max_bad_rows,
            earlier=earlier,
        )
        importer.on_rows = on_rows
        importer.notes = read_notes(sources)
        try:
            importer.read(
                sources,
                Path(extraction_folder),
                format=format,
                columns=columns or {},
                splits=splits,
                quoting=quoting,
            )
        except DataRejected as rejection:
            importer.issues.record(rejection)
        return importer.finish(into).model_copy(update={"license": find_license(importer.notes)})


class Importer:
    """One import: `read` or `stage` stages the rows, `finish` checks and writes them."""

    def __init__(
        self,
        scratch: IO[bytes],
        limits: Limits,
        tasks: Mapping[str, DatasetRequirements],
        *,
        task: str | None,
        max_bad_rows: float = 0.0,
        earlier: EarlierRows | None = None,
    ) -> None:
        self.scratch = scratch
        self.limits = limits
        self.tasks = tasks
        self.task = task
        self.issues = IssueLog(max_samples=limits.max_samples, leaves_out_bad_rows=max_bad_rows >= 1)
        self.max_bad_rows = max_bad_rows
        #: Stored rows that others are appended to; None if all rows are new.
        self.earlier = earlier
        self.staging = Staging(scratch, type_names={}, issues=self.issues, limits=limits)
        self.split_plan = SplitPlan()
        #: Called with the number of rows read so far.
        self.on_rows: Callable[[int], None] = lambda _: None
        #: Beginnings of README and LICENSE files beside the data, by name.
        self.notes: Mapping[str, bytes] = {}
        #: Name of the format; None until one is detected.
        self.format_name: str | None = None
        self._format: Format | None = None
        #: Names of numbered classes, by a list beside the tables; None without one.
        self.class_list: class_list.ClassList | None = None
        #: Table of the items that the rows name, and facts about it; None without one.
        self.item_table: ItemTable | None = None
        self.item_counts: Mapping[str, int] = {}

    @property
    def requirements(self) -> DatasetRequirements | None:
        """Requirements of the requested task; None without one."""
        # `in` first: the registry of tasks raises for an unknown name, also in `get`.
        return self.tasks[self.task] if self.task is not None and self.task in self.tasks else None

    def read(
        self,
        paths: Sequence[Path],
        extraction_folder: Path,
        *,
        format: str | None,
        columns: Mapping[str, str | int],
        splits: Mapping[str, Any] | None,
        quoting: str | None,
    ) -> None:
        """Stage every readable row; raises `DataRejected` if no more can be read."""
        try:
            self.split_plan = SplitPlan.from_request(splits)
        except DataRejected as rejection:
            self.issues.record(rejection)  # and continue, to report all other issues as well
        sources = self._open(paths)
        if not sources:
            return
        required_columns = self.requirements.columns if self.requirements else None
        sources = self._flatten_archives(self._refuse_foreign(sources), extraction_folder)
        if not sources:
            return
        sources = self._read_corpora(self._relocate_by_card(sources), extraction_folder, required_columns)
        if not sources:
            return
        sources = self._convert_lists(sources, extraction_folder, "list", format, required_columns)
        if not sources:
            return
        sources = self._select_files(self._unpack_archives(sources, extraction_folder, format, required_columns))
        sources = self._join_tables(
            self._split_by_card(sources), extraction_folder, columns, format=format, required_columns=required_columns
        )
        sources = self._convert_arrow(sources, extraction_folder)
        sources = self._refuse_token_labels(self._refuse_foreign(sources))
        sources = self._convert_lists(sources, extraction_folder, "member", format, required_columns) if sources else []
        is_text = format == "plain_text" or (required_columns is not None and set(required_columns) == {"text"})
        sources = self._rewrite_layouts(sources, extraction_folder, is_text=is_text) if sources else []
        if not sources:
            return
        likely_format = self.earlier.summary.format if self.earlier else None
        format_class = _select_format(format, sources, required_columns, likely=likely_format)
        if format_class.refuses_markup:
            sources = self._refuse_markup(sources, format_class)
        accepted = [source for source in sources if source.content in format_class.accepted_content]
        for source in sources:
            if source not in accepted:
                expected = f"content for {format_class.name} ({', '.join(sorted(format_class.accepted_content))})"
                self.issues.add("wrong_format", at=Location(file=source.name), actual=source.content, expected=expected)
        if columns and not format_class.has_columns:
            self.issues.add("columns_not_used", actual=", ".join(columns))
        if quoting is not None and not format_class.has_quoting:
            self.issues.add("quoting_not_used", actual=quoting)
        if self.split_plan.fractions and format_class.split_rule is not None:
            self.issues.add("splits_at_random", actual=splits, expected=format_class.split_rule)
        self._format = format_class(
            accepted,
            columns=columns,
            required=required_columns,
            quoting=quoting,
            issues=self.issues,
            limits=self.limits,
        )
        if self.earlier is None:
            self.stage(self._format.read(), format_class.name, format_class.columns)
        else:
            self._append(self.earlier, self._format)
        self.item_table, self.item_counts = self._format.item_table, self._format.item_counts

    def _append(self, earlier: EarlierRows, format: Format) -> None:
        """Stage the rows of a stored version, and behind them those of a format."""
        self.split_plan = replace(
            self.split_plan,
            random_splits=earlier.summary.random_splits,
            appended_fractions=earlier.held_out_fractions,
        )

        def read() -> Iterator[Batch]:
            yield from earlier.read()
            self.staging.earlier_rows = len(self.staging)
            yield from earlier.check(format.read(), format.columns)
            if len(self.staging) == self.staging.earlier_rows and not self.issues.has_errors:
                self.issues.add("empty_dataset", actual="no new row")

        self.stage(read(), earlier.summary.format, {**format.columns, **earlier.type_names})

    def stage(self, batches: Iterable[Batch], format_name: str, type_names: Mapping[str, str]) -> None:
        """Stage the rows of a format; raises `DataRejected` if no more can be read.

        `type_names`: canonical column -> name of its column type.
        """
        self.format_name = format_name
        self.staging = Staging(self.scratch, type_names=type_names, issues=self.issues, limits=self.limits)
        for batch in batches:
            self.staging.add(batch)
            self.on_rows(len(self.staging))

    def _open(self, paths: Sequence[Path]) -> list[UploadedFile]:
        """Return the readable files in natural order, and report the others."""
        if not paths:
            raise DataRejected("no_files")
        if len(paths) > self.limits.max_members:
            raise DataRejected("archive_too_many_files", expected=f"at most {self.limits.max_members:,} files")
        sources = []
        names: set[str] = set()
        for path in sorted(paths, key=lambda path: natural_sort_key(path.name)):
            name = _unique_name(path.name, names)
            names.add(name)
            source = UploadedFile(name, path, requested_split=self.split_plan.split_of(path.name))
            if source.content in _UNREADABLE:
                self.issues.add(_UNREADABLE[source.content], at=Location(file=source.name))
            else:
                sources.append(source)
        return sources

    def _convert_lists(
        self,
        sources: list[UploadedFile],
        folder: Path,
        prefix: str,
        format: str | None,
        required_columns: Mapping[str, str] | None,
    ) -> list[UploadedFile]:
        """Replace files of one JSON list by JSON lines, unless a format reads them."""
        candidates = [FORMATS[format]] if format in list(FORMATS) and format else list(FORMATS.values())
        if any(
            "json list" in candidate.accepted_content and candidate.detect(sources, required_columns)
            for candidate in candidates
        ):
            return sources
        converted: list[UploadedFile] = []
        for number, source in enumerate(sources):
            if source.content != "json list":
                converted.append(source)
                continue
            try:
                converted.append(convert_to_lines(source, folder / f"{prefix}{number}.jsonl", self.limits))
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=source.name))
        return converted

    def _refuse_token_labels(self, sources: list[UploadedFile]) -> list[UploadedFile]:
        """Report and leave out files with a label for each word, which no task learns."""
        refused = [source for source in sources if source.content == "text" and has_token_labels(source)]
        for source in refused:
            self.issues.add("token_labels", at=Location(file=source.name))
        return [source for source in sources if source not in refused]

    def _refuse_foreign(self, sources: list[UploadedFile]) -> list[UploadedFile]:
        """Report and leave out files of formats that are not read, but look like others."""
        accepted: list[UploadedFile] = []
        for source in sources:
            foreign = find_foreign_format(source)
            if foreign:
                at = Location(file=source.name)
                self.issues.add("content_not_read", at=at, actual=foreign.name, expected=foreign.way_out)
            else:
                accepted.append(source)
        return accepted

    def _refuse_markup(self, sources: list[UploadedFile], format_class: type[Format]) -> list[UploadedFile]:
        """Report and leave out subtitles, web pages and XML, whose lines are no rows."""
        accepted: list[UploadedFile] = []
        for source in sources:
            is_side = format_class.name == "aligned_texts" and is_side_file(source.name)
            start = b"".join(source.text_starts.values()) if source.content == "text" and not is_side else b""
            if _may_be_table(source.name, start):
                start = b""  # tags may be part of its texts
            if markup := find_markup(start.decode("utf-8", "replace")):
                at = Location(file=source.name)
                expected = "task text_generation, or a table of the text"
                self.issues.add("content_not_read", at=at, actual=markup.name, expected=expected)
            else:
                accepted.append(source)
        return accepted

    def _split_by_card(self, sources: list[UploadedFile]) -> list[UploadedFile]:
        """Set the splits that a dataset card names, unless the request says others."""
        card = CardSplits(self.notes)
        if len(card.configurations) > 1:
            self.issues.add("card_configurations", actual=", ".join(card.configurations))
        split: list[UploadedFile] = []
        for source in sources:
            if source.requested_split is None and card.is_left_out(source.name):
                self.issues.add("list_not_learned", at=Location(file=source.name), actual="another split of the card")
            else:
                split.append(replace(source, requested_split=source.requested_split or card.split_of(source.name)))
        return split

    def _relocate_by_card(self, sources: list[UploadedFile]) -> list[UploadedFile]:
        """Let files of archives be in folders of the splits that a dataset card names.

        The request goes before the card. Tables are unpacked later, and have their splits by `_split_by_card`.
        """
        card = CardSplits(self.notes)
        relocated: list[UploadedFile] = []
        for source in sources:
            is_archive = source.content in ("zip", "tar") and not self.split_plan.files
            if is_archive and card.split_of(source.name) is None and card.names_members(source):
                self.issues.add("splits_of_card", at=Location(file=source.name))
                hidden = card.left_out_folders(source)
                source = replace(source, relocate=card.relocate)
                if hidden:
                    actual = f"another split of the card: {', '.join(hidden)}"
                    self.issues.add("list_not_learned", at=Location(file=source.name), actual=actual)
            relocated.append(source)
        return relocated

    def _read_corpora(
        self, sources: list[UploadedFile], folder: Path, required_columns: Mapping[str, str] | None
    ) -> list[UploadedFile]:
        """Replace files that only say together what their rows are."""
        upload = CorpusFiles(sources, folder, self.issues, self.limits)
        try:
            tiny_imagenet.read(upload, required_columns)
            unread_objects.refuse_formats(upload, required_columns)
        except DataRejected as rejection:
            self.issues.record(rejection)
            return []
        for read in (kaldi.read, voxforge.read, fairseq.read, transcripts.read, timed_words.read, audio_lists.read):
            read(upload)
        image_lists.read(upload, required_columns)
        unread_objects.read(upload)
        return upload.sources

    def _join_tables(
        self,
        sources: list[UploadedFile],
        folder: Path,
        columns: Mapping[str, str | int],
        *,
        format: str | None,
        required_columns: Mapping[str, str] | None,
    ) -> list[UploadedFile]:
        """Join tables of one corpus, and take the names of numbered classes.

        A task without classes needs no names of them.
        """
        has_classes = required_columns is None or "label" in required_columns
        upload = CorpusFiles(sources, folder, self.issues, self.limits)
        try:
            tatoeba.read(upload, columns)
            if format is None:
                class_files.read(upload)
        except DataRejected as rejection:
            self.issues.record(rejection)
            return []
        self.class_list = class_list.read(upload) if has_classes else None
        return upload.sources

    def _rewrite_layouts(self, sources: list[UploadedFile], folder: Path, *, is_text: bool) -> list[UploadedFile]:
        """Replace files whose rows are spread over documents, trees or tables by those rows.

        `is_text`: whether lines are to be learned as they stand, so that only records are replaced.
        """
        upload = CorpusFiles(sources, folder, self.issues, self.limits)
        for read in (question_documents.read, message_trees.read, json_documents.read):
            read(upload)
        tables = (json_rows.read, title_lines.read, label_numbers.read, blank_tables.read, baskets.read)
        for read in () if is_text else tables:
            read(upload)
        return upload.sources

    def _unpack_archives(
        self,
        sources: list[UploadedFile],
        extraction_folder: Path,
        format: str | None,
        required_columns: Mapping[str, str] | None,
    ) -> list[UploadedFile]:
        """Replace archives that no format reads as such by their files.

        An archive stays as it is if it contains no readable file.
        """
        archives = [source for source in sources if source.content in ("zip", "tar")]
        if format is None:
            is_known = max(candidate.detect(sources, required_columns) for candidate in FORMATS.values()) > UNLIKELY
            archives = [] if is_known else archives
        elif format in list(FORMATS):
            archives = [source for source in archives if source.content not in FORMATS[format].accepted_content]
        else:
            archives = []
        files: list[UploadedFile] = []
        for number, source in enumerate(sources):
            folder = extraction_folder / str(number)
            is_unpacked = source in archives
            members = unpack(replace(source, relocate=None), folder, self.issues, self.limits) if is_unpacked else []
            files += members or [source]
        return files

    def _flatten_archives(self, sources: list[UploadedFile], extraction_folder: Path) -> list[UploadedFile]:
        """Replace archives within archives by one archive of all their files."""
        flat: list[UploadedFile] = []
        for number, source in enumerate(sources):
            if source.content not in ("zip", "tar") or not has_nested_archives(source):
                flat.append(source)
                continue
            try:
                flat.append(flatten(source, extraction_folder / f"flat{number}", self.issues, self.limits))
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=source.name))
        return flat

    def _convert_arrow(self, sources: list[UploadedFile], extraction_folder: Path) -> list[UploadedFile]:
        """Replace Arrow files by Parquet files of the same tables."""
        converted: list[UploadedFile] = []
        for number, source in enumerate(sources):
            if source.content != "arrow":
                converted.append(source)
                continue
            path = extraction_folder / f"{number}.parquet"
            try:
                converted.append(convert_to_parquet(source, path, self.limits))
            except DataRejected as rejection:
                self.issues.record(rejection)
        return converted

    def _select_files(self, sources: list[UploadedFile]) -> list[UploadedFile]:
        """Leave out the files of tools, and lists that mean "not these".

        They are read if nothing else is there.
        """
        beside = {source.name for source in sources if is_tool_file(source.name) or is_ignored(source.name)}
        beside |= find_descriptions([source.name for source in sources])
        left_out = {
            source.name: "file_beside_data" if source.name in beside else "list_not_learned"
            for source in sources
            if source.name in beside or is_not_learned(source.name)
        }
        selected = [source for source in sources if source.name not in left_out]
        if not selected:
            return sources
        for name, code in left_out.items():
            self.issues.add(code, at=Location(file=name))
        return selected

    def finish(self, into: Path) -> ImportReport:
        """Check all rows together, write them unless there are errors, and return the report."""
        staging, issues = self.staging, self.issues
        if not len(staging):
            if not issues.has_errors:
                issues.add("empty_dataset")
            return self._report(None, accepted=0, messages=[])
        if self.class_list is not None:
            names = class_list.name_classes(staging.label_codes, self.class_list.names)
            staging.rename_labels(names)
            at = Location(file=self.class_list.file)
            if names:
                issues.add("classes_named_by_list", at=at)
            else:
                issues.add("file_ignored", at=at, expected="names of the numbers in the column of labels")
        if not self.split_plan.is_final:
            remove_marks(staging, issues)
        classes, codes = resolve_classes(staging, issues)
        new_rows = len(staging) - staging.earlier_rows + issues.rejected_rows
        issues.leave_out_bad_rows(max_rows=int(self.max_bad_rows * new_rows))
        staging.classes, staging.class_codes = classes, codes
        if self.requirements and not self.requirements.separates_subjects:
            staging.subject_name = ""
        unlabeled = find_unlabeled_splits(staging)
        if unlabeled.any():
            at = staging.locate(int(np.flatnonzero(unlabeled)[0]))
            issues.add("split_without_labels", at=at, count=int(unlabeled.sum()))
        left_out = find_rows_to_leave_out(staging)
        if not self.split_plan.is_final:
            left_out |= find_missing_numbers(staging, issues)
        splits, messages, random_splits = assign_splits(staging, self.split_plan, left_out)
        if issues.leaves_out_bad_rows and classes is not None:
            splits[codes == NO_LABEL] = DROPPED
        report_subjects(staging, splits, issues)
        splits = resolve_duplicates(staging, codes, splits, issues)
        for column_type in staging.column_types.values():
            column_type.finish()
        column_names = self._format.detected_columns if self._format else {}
        for cross_check in staging.cross_checks:
            cross_check.finish(staging, splits, column_names)
        summary = self._summarize(classes, codes, splits)
        if classes is not None:
            check_classes(summary.class_counts, codes, staging, issues)
        elif list(summary.columns) == ["image"]:
            messages = [*messages, UNLABELED_IMAGES]
        if not (splits == TRAIN).any():
            issues.add("empty_dataset", actual="no row in train")
        if len(staging) < FEW_ROWS:
            issues.add("tiny_dataset", actual=f"{len(staging)} rows", expected=f"at least {FEW_ROWS}")
        for reason in self.requirements.check_dataset(summary) if self.requirements else ():
            issues.add("unfit_for_task", actual=reason)
        flagged_rows = locate_flagged_rows(issues, staging, splits)
        if not issues.has_errors:
            with atomic_directory(into) as directory:
                digest = writer.write(directory, staging, splits, codes, item_table=self.item_table)
                write_flagged_rows(directory, flagged_rows)
                counts = {code: len(rows) for code, rows in flagged_rows.items()}
                update = {"digest": digest, "flagged_rows": counts, "random_splits": random_splits}
                summary = summary.model_copy(update=update)
                writer.write_summary(directory, summary)
        return self._report(summary, accepted=int((splits >= 0).sum()), messages=messages)

    def _summarize(self, classes: list[str] | None, codes: np.ndarray, splits: np.ndarray) -> DatasetSummary:
        assert self.format_name is not None, "rows come from a format"
        column_types = self.staging.column_types
        columns = {name: column_type.name for name, column_type in column_types.items()}
        object_classes = {name for column_type in column_types.values() for name in column_type.classes()}
        summary = DatasetSummary(
            format=self.format_name,
            task=self.task,
            columns=columns if classes is None else {**columns, LABEL: LABEL},
            splits={split: int((splits == code).sum()) for code, split in enumerate(SPLITS)},
            classes=(sorted(object_classes, key=natural_sort_key) or None) if classes is None else classes,
            class_counts={} if classes is None else count_classes(classes, codes, splits),
            facts=self._facts(),
            item_table=self._summarize_items(),
            subject_name=self.staging.subject_name,
        )
        return summary if self.task else summary.model_copy(update={"task": self._detect_task(summary)})

    def _summarize_items(self) -> ItemTableSummary | None:
        table = self.item_table
        if table is None:
            return None
        return ItemTableSummary(rows=len(table), columns=dict(table.columns), **self.item_counts)

    def _facts(self) -> dict[str, dict[str, Any]]:
        """Return facts by column; of one that rows may lack, also how many do."""
        missing = self.staging.missing
        facts = {
            name: column_type.facts() | ({MISSING: missing[name]} if name in missing else {})
            for name, column_type in self.staging.column_types.items()
        }
        return {name: column_facts for name, column_facts in facts.items() if column_facts}

    def _detect_task(self, summary: DatasetSummary) -> str | None:
        """Return the task that fits the dataset and uses most of its columns, or None.

        A task that is tested on other subjects than it learns from goes before others: it claims less.
        """
        fitting = [
            name
            for name, task in self.tasks.items()
            if task.columns.items() <= summary.columns.items() and not task.check_dataset(summary)
        ]
        present = summary.columns.items()
        used = {
            name: len(self.tasks[name].columns) + len(self.tasks[name].optional_columns.items() & present)
            for name in fitting
        }
        return max(fitting, key=lambda name: (used[name], self.tasks[name].separates_subjects), default=None)

    def _describe_reading(self) -> str:
        """Return what was read, in one line; empty if no format was chosen."""
        if self._format is None:
            return ""
        columns = [*self.staging.column_types, *([LABEL] if self.staging.label_codes else [])]
        return describe_reading(self._format, columns, self.issues)

    def _report(self, summary: DatasetSummary | None, *, accepted: int, messages: Sequence[str]) -> ImportReport:
        issues, staging = self.issues, self.staging
        is_rejected = issues.has_errors
        unlabeled = issues.count("missing_label")
        guess = None
        if self.format_name is not None:
            task = self.task or (summary.task if summary else None)
            columns = self._format.detected_columns if self._format else {}
            quoting = self._format.detected_quoting if self._format else {}
            format = self._format.name if self._format else self.format_name
            guess = Guess(format=format, columns=columns, task=task, quoting=quoting)
        return ImportReport(
            state="rejected" if is_rejected else "ready",
            rows=len(staging) - unlabeled - staging.joined_labels + issues.rejected_rows,
            accepted=accepted - unlabeled if is_rejected else accepted,
            repaired=issues.repaired_rows,
            rejected=issues.rejected_rows,
            errors=[
                ReportEntry(
                    code=issue.code, count=issue.count, severity=issue.severity, hint=issue.hint, sample=issue.sample
                )
                for issue in issues.entries
            ],
            splits=summary.splits if summary else {},
            classes=summary.classes if summary else None,
            suggestions=[Suggestion(message=message) for message in messages],
            guess=guess,
            first_rows=self._format.first_rows if self._format else None,
            reading=self._describe_reading(),
            summary=None if is_rejected else summary,
        )


def _unique_name(name: str, names: Collection[str]) -> str:
    """Return a file name, with a number if it is among `names`.

    Parts from two folders may have one name.
    """
    stem, dot, suffix = name.partition(".")
    numbered = (f"{stem} ({number}){dot}{suffix}" for number in itertools.count(2))
    return name if name not in names else next(candidate for candidate in numbered if candidate not in names)


def _may_be_table(name: str, start: bytes) -> bool:
    """Return whether a name, or a tab in the first line, says a table."""
    suffix = PurePosixPath(name).suffix.lower()
    has_tab = b"\t" in start.strip().partition(b"\n")[0]
    return suffix in _TABLE_SUFFIXES or (has_tab and suffix not in MARKUP_SUFFIXES)


def _select_format(
    name: str | None,
    sources: Sequence[UploadedFile],
    required_columns: Mapping[str, str] | None,
    *,
    likely: str | None = None,
) -> type[Format]:
    """Return the requested format, or else the likeliest; raises `DataRejected` if there is none.

    `likely`: format of the rows that others are appended to, which is chosen if it reads the files.
    """
    if name is not None and name not in list(FORMATS):
        raise DataRejected("unknown_format", actual=name, expected=", ".join(sorted(FORMATS)))
    if name is not None:
        return FORMATS[name]
    if likely in list(FORMATS) and likely and FORMATS[likely].detect(sources, None) > UNLIKELY:
        return FORMATS[likely]
    likelihoods = {name: candidate.detect(sources, required_columns) for name, candidate in FORMATS.items()}
    likeliest = max(likelihoods, key=lambda name: likelihoods[name])
    if not likelihoods[likeliest]:
        actual = f"{sources[0].name}: {sources[0].content}"
        raise DataRejected("format_not_recognized", actual=actual, expected=", ".join(sorted(FORMATS)))
    return FORMATS[likeliest]
