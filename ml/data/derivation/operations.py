"""Operations that derive the next version of a dataset.

Each is one object of a request. `apply` takes the selected rows and returns those of the next version; rows that an
operation names are those of the dataset that is derived from, whatever operations precede it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, TypeAdapter, model_validator
from typing_extensions import TypeAliasType

from ml.config import Config
from ml.data.dataset import SPLITS
from ml.data.derivation.object_operations import (
    ObjectConditions,
    filter_objects,
    find_missing_objects,
    merge_object_classes,
    relabel_objects,
)
from ml.data.flagged_rows import RowPosition, StoredFlag, read_flagged_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml.data.derivation.selection import Selection
    from ml.data.issues import Location

Split = TypeAliasType("Split", Literal["train", "validation", "test"])
ClassName = Annotated[str, Field(min_length=1, max_length=200)]
Index = Annotated[int, Field(ge=0, le=2**40)]
IssueCode = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")]
#: Rows that one request can name by their positions.
MAX_NAMED_ROWS: Final = 100_000
#: At least one split; all of them where it is null.
Splits = Annotated[list[Split], Field(min_length=1)]


class Operation(Config):
    """Base class of operations."""

    #: Whether the dataset needs one class for each row.
    needs_labels: ClassVar[bool] = False

    @abstractmethod
    def apply(self, selection: Selection, others: Mapping[str, Selection]) -> Selection:
        """Return the rows of the next version.

        `others`: reference of a dataset -> all its rows, for the datasets that the operation names.
        """

    def missing_objects(self, source: Selection) -> Iterable[tuple[Location, int, int]]:
        """Return image, position and number of objects for each missing object.

        `source` has all rows of the dataset that is derived from.
        """
        return ()


class LeaveOutBadRows(Operation):
    """Read a rejected upload again, without the rows that have an error.

    It must be the first operation. Errors that concern more than single rows reject the upload again.
    """

    operation: Literal["leave_out_bad_rows"] = "leave_out_bad_rows"

    def apply(self, selection: Selection, others: Mapping[str, Selection]) -> Selection:
        """Return the rows unchanged, as the import has left out the bad ones."""
        return selection


class ReadAgain(Operation):
    """Read an upload again, with other columns, another format or task.

    It is the only operation. What is left out is inferred anew. The dataset may be ready or rejected.
    """

    operation: Literal["read_again"] = "read_again"
    task: str | None = Field(None, max_length=100, description="Task that the data is for.")
    format: str | None = Field(None, max_length=100, description="Format of the files.")
    columns: dict[str, str | int] | None = Field(
        None, description="Column of the format to column in the file: its name, or its position from 1."
    )

    def apply(self, selection: Selection, others: Mapping[str, Selection]) -> Selection:
        """Return the rows unchanged, as the import has read them anew."""
        return selection


class _RowsOperation(Operation):
    """Operation on rows that a finding lists, or that are named by position."""

    finding: IssueCode | None = Field(
        None, description="Code of a finding in the report of the dataset; all rows that it lists."
    )
    splits: Splits | None = Field(None, description="Only the rows of these splits, of those of the finding.")

    def _with_splits_of_finding(self) -> Self:
        """Return the operation; raises `ValueError` for splits without a finding."""
        if self.splits is not None and self.finding is None:
            raise ValueError("has `splits` without `finding`; leave out `splits`, as named rows have their split")
        return self

    def flagged_rows(self, selection: Selection) -> list[StoredFlag]:
        """Return the rows that the finding lists, in the requested splits."""
        if self.finding is None:
            return []
        flags = read_flagged_rows(selection.parts[0].dataset.directory, self.finding)
        return [flag for flag in flags if self.splits is None or flag.split in self.splits]


class DropRows(_RowsOperation):
    """Drop rows: those of a finding, or those at positions."""

    operation: Literal["drop_rows"] = "drop_rows"
    rows: dict[Split, Annotated[list[Index], Field(max_length=MAX_NAMED_ROWS)]] | None = Field(
        None, description="Split to positions from 0, as in `preview`."
    )

    @model_validator(mode="after")
    def _check(self) -> DropRows:
        if (self.finding is None) == (self.rows is None):
            raise ValueError("has both or neither of `finding` and `rows`; name the rows by one of them")
        return self._with_splits_of_finding()

    def apply(self, selection: Selection, others: Mapping[str, Selection]) -> Selection:
        """Return the rows without those that are named."""
        positions: Sequence[RowPosition] = self.flagged_rows(selection)
        if self.rows is not None:
            positions = [
                RowPosition(split=split, index=index) for split, indices in self.rows.items() for index in indices
            ]
        mask = np.ones(len(selection), dtype=bool)
        rows = selection.find(positions)
        mask[rows[rows >= 0]] = False
        return selection.take(mask)


class RelabelRows(_RowsOperation):
    """Change the class of rows, or of objects in images.

    The new classes are those that a finding suggests, or named ones.
    """

    operation: Literal["relabel"] = "relabel"
    needs_labels: ClassVar[bool] = True
    labels: dict[Split, Annotated[dict[Index, ClassName], Field(max_length=MAX_NAMED_ROWS)]] | None = Field(
        None, description="Split to position from 0 to the new class of the row."
    )
    objects: dict[Split, Annotated[dict[Index, dict[Index, ClassName]], Field(max_length=MAX_NAMED_ROWS)]] | None = (
        Field(None, description="Split to position of the image to position of the object, from 0, to its new class.")
    )

    @model_validator(mode="after")
    def _check(self) -> RelabelRows:
        if sum(value is not None for value in (self.finding, self.labels, self.objects)) != 1:
            raise ValueError("has several or none of `finding`, `labels` and `objects`; name the rows by one of them")
        return self._with_splits_of_finding()

    def missing_objects(self, source: Selection) -> Iterable[tuple[Location, int, int]]:
        """Return the positions beyond the objects of their image."""
        return find_missing_objects(source, self.objects or {})

    def apply(self, selection: Selection, others: Mapping[str, Selection]) -> Selection:
        """Return the rows with the new classes; a class that is new is added."""
        if self.objects is not None:
            return relabel_objects(selection, self.objects)
        changes = [
            (RowPosition(split=flag.split, index=flag.index), flag.label)
            for flag in self.flagged_rows(selection)
            if flag.label is not None
        ]
        for split, labels in (self.labels or {}).items():
            changes += [(RowPosition(split=split, index=index), label) for index, label in labels.items()]
        names = [label for _, label in changes]
        classes = [*selection.classes, *(name for name in dict.fromkeys(names) if name not in selection.classes)]
        code_of = {name: code for code, name in enumerate(classes)}
        codes = selection.codes.copy()
        for row, name in zip(selection.find([position for position, _ in changes]).tolist(), names, strict=True):
            if row >= 0:
                codes[row] = code_of[name]
        return selection.relabel(codes, classes)


class MergeClasses(Operation):
    """Make one class of several."""

    operation: Literal["merge_classes"] = "merge_classes"
    needs_labels: ClassVar[bool] = True
    classes: list[ClassName] = Field(min_length=1, description="Classes to merge.")
    into: ClassName = Field(description="Class that their rows get; one of them, another one, or a new one.")

    def apply(self, selection: Selection, others: Mapping[str, Selection]) -> Selection:
        """Return all rows, those of the classes with the new one."""
        if selection.object_column is not None:
            return merge_object_classes(selection, self.classes, self.into)
        classes = list(dict.fromkeys([*selection.classes, self.into]))
        merged = [code for code, name in enumerate(classes) if name in self.classes]
        codes = np.where(np.isin(selection.codes, merged), classes.index(self.into), selection.codes)
        return selection.relabel(codes, classes)


class FilterRows(Operation):
    """Keep the rows that fulfill every condition."""

    operation: Literal["filter"] = "filter"
    splits: Splits | None = Field(None, description="Keep the rows of these splits.")
    classes: Annotated[list[ClassName], Field(min_length=1)] | None = Field(
        None, description="Keep the rows of these classes; in images with objects, the objects of these classes."
    )
    without_classes: Annotated[list[ClassName], Field(min_length=1)] | None = Field(
        None, description="Drop the rows, or objects, of these classes."
    )
    min_box_pixels: float | None = Field(
        None, gt=0, description="Drop objects whose box is narrower or lower than this number of pixels."
    )
    column: str | None = Field(None, max_length=100, description="Column of the texts [the first one with texts].")
    contains: str | None = Field(None, min_length=1, max_length=1000, description="Keep texts with these characters.")
    without: str | None = Field(None, min_length=1, max_length=1000, description="Drop texts with these characters.")
    min_characters: int | None = Field(None, ge=0)
    max_characters: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _check(self) -> FilterRows:
        if not self.model_dump(exclude={"operation", "column"}, exclude_none=True):
            raise ValueError("has no condition; give at least one, such as `splits` or `min_characters`")
        if self.max_characters is not None and (self.min_characters or 0) > self.max_characters:
            limits = f"min_characters {self.min_characters} above max_characters {self.max_characters}"
            raise ValueError(f"has {limits}, so that no text fits; lower the first")
        return self

    @property
    def selects_objects(self) -> bool:
        """True if a condition is on the objects, in images with objects."""
        return any(item is not None for item in (self.classes, self.without_classes, self.min_box_pixels))

    @property
    def reads_texts(self) -> bool:
        """True if a condition is on texts."""
        conditions = (self.column, self.contains, self.without, self.min_characters, self.max_characters)
        return any(condition is not None for condition in conditions)

    def text_column(self, columns: Mapping[str, str]) -> str | None:
        """Return the column of the texts; None if there is none."""
        texts = [name for name, column_type in columns.items() if column_type == "text"]
        return self.column if self.column in texts else (None if self.column or not texts else texts[0])

    def apply(self, selection: Selection, others: Mapping[str, Selection]) -> Selection:
        """Return the rows that fulfill the conditions."""
        mask = np.ones(len(selection), dtype=bool)
        if self.splits is not None:
            mask &= np.isin(selection.splits, [SPLITS.index(split) for split in self.splits])
        if selection.object_column is not None:
            conditions = ObjectConditions(self.classes, self.without_classes, self.min_box_pixels or 0)
            return filter_objects(selection.take(mask), conditions)
        if self.classes is not None:
            mask &= np.isin(selection.codes, _codes(selection, self.classes))
        if self.without_classes is not None:
            mask &= ~np.isin(selection.codes, _codes(selection, self.without_classes))
        selection = selection.take(mask)
        column = self.text_column(selection.columns)
        if not self.reads_texts or column is None:
            return selection
        fitting = np.zeros(len(selection), dtype=bool)
        for row, text in selection.values(column):
            fitting[row] = self._fits(text)
        return selection.take(fitting)

    def _fits(self, text: str) -> bool:
        return (
            (self.min_characters is None or len(text) >= self.min_characters)
            and (self.max_characters is None or len(text) <= self.max_characters)
            and (self.contains is None or self.contains in text)
            and (self.without is None or self.without not in text)
        )


class SampleRows(Operation):
    """Keep rows at random, the same fraction of every class and split."""

    operation: Literal["sample"] = "sample"
    fraction: float | None = Field(None, gt=0, le=1, description="Fraction of the rows to keep.")
    rows: int | None = Field(None, ge=1, description="Number of rows to keep, over all `splits`.")
    splits: Splits | None = Field(None, description="Sample from these splits, and keep the others [all].")
    seed: int = Field(0, ge=0, le=2**32 - 1)

    @model_validator(mode="after")
    def _check(self) -> SampleRows:
        if (self.fraction is None) == (self.rows is None):
            raise ValueError("has both or neither of `fraction` and `rows`; give one of them")
        return self

    def apply(self, selection: Selection, others: Mapping[str, Selection]) -> Selection:
        """Return the sample, in the order of the rows."""
        splits = [SPLITS.index(split) for split in self.splits or SPLITS]
        is_candidate = np.isin(selection.splits, splits)
        count = int(is_candidate.sum())
        kept_count = count * self.fraction if self.fraction is not None else min(self.rows or 0, count)
        generator = np.random.default_rng(self.seed)
        strata = np.stack([selection.splits.astype(np.int64), selection.codes.astype(np.int64)])
        # Rows are ranked within their stratum, as fractions of it; the lowest ranks of all strata are kept.
        ranks = np.full(len(selection), np.inf)
        for stratum in np.unique(strata[:, is_candidate], axis=1).T:
            rows = generator.permutation(np.flatnonzero(is_candidate & (strata == stratum[:, None]).all(axis=0)))
            ranks[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
        mask = ~is_candidate
        mask[np.argsort(ranks, kind="stable")[: max(1, round(kept_count))]] = True
        return selection.take(mask)


class DedupeRows(Operation):
    """Keep one of equal rows in each split.

    Copies across splits need no operation: they are removed from the splits that a model learns from in any case.
    """

    operation: Literal["dedupe"] = "dedupe"

    def apply(self, selection: Selection, others: Mapping[str, Selection]) -> Selection:
        """Return the first of equal rows of every split."""
        keys = np.stack([selection.hashes(), selection.splits.astype(np.uint64)])
        _, firsts = np.unique(keys, axis=1, return_index=True)
        return selection.take(np.sort(firsts))


class JoinDataset(Operation):
    """Add all rows of another dataset version, split by split."""

    operation: Literal["join"] = "join"
    dataset: str = Field(
        max_length=200,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$",
        description="A reference.",
    )

    def apply(self, selection: Selection, others: Mapping[str, Selection]) -> Selection:
        """Return the rows of both datasets."""
        return selection.join(others[self.dataset])


AnyOperation: TypeAlias = Annotated[
    LeaveOutBadRows
    | ReadAgain
    | DropRows
    | RelabelRows
    | MergeClasses
    | FilterRows
    | SampleRows
    | DedupeRows
    | JoinDataset,
    Field(discriminator="operation"),
]
_OPERATIONS: TypeAdapter[list[AnyOperation]] = TypeAdapter(list[AnyOperation])


def parse_operations(value: Any) -> list[AnyOperation]:
    """Parse a list of operations; raises `pydantic.ValidationError`."""
    return _OPERATIONS.validate_python(value)


def _codes(selection: Selection, names: Sequence[str]) -> list[int]:
    return [code for code, name in enumerate(selection.classes) if name in names]
