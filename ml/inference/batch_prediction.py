"""Prediction of many stored rows, in large batches and within a fixed memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.rows import Rows, find_missing
from ml.errors import InputError
from ml.inference.predictor import BATCH_BYTES
from ml.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.rows import Row
    from ml.inference.predictor import ParsedRequest, Predictor

#: Rows that are read and encoded together; the runtime splits them into the calls that cost least.
MAX_BATCH_ROWS: Final = 1024
#: Rows of the first batch, from which the size of a row is known.
FIRST_BATCH_ROWS: Final = 16


@dataclass(frozen=True, slots=True)
class RowResult:
    """Output of a row, or why it has none."""

    #: Position of the row, from 0.
    index: int
    output: dict[str, Any] | None
    error: dict[str, Any] | None = None


class BatchPredictor:
    """Predicts stored rows of one dataset."""

    def __init__(self, predictor: Predictor, parameters: Mapping[str, Any]) -> None:
        """Check the parameters, which are those of `/predict`; raises `InputError`."""
        self._predictor = predictor
        self._request: ParsedRequest = predictor.parse_parameters(parameters)
        self._batch_rows = FIRST_BATCH_ROWS

    def predict(self, rows: Rows, *, start: int = 0) -> Iterator[list[RowResult]]:
        """Yield the results of `rows` from `start` to the end, in order, batch by batch."""
        columns = self._own_columns(rows)
        while start < len(rows):
            end = min(len(rows), start + self._batch_rows)
            batch = rows.take(range(start, end))
            if columns is not None and not _has_empty_row(batch, columns):
                batch = Rows({name: batch.columns[name] for name in columns})
                yield self._answer_rows(batch, start)
            else:
                yield self._answer_inputs([self._to_input(row) for row in batch], start)
            self._adapt_batch(batch)
            start = end

    def _own_columns(self, rows: Rows) -> list[str] | None:
        """Return the columns of rows that are a request as they are, without a conversion.

        None if each row must be converted: a request has fields that the rows lack, or sets some itself.
        """
        adapter = self._predictor.adapter
        if self._request.fields or not len(rows):
            return None
        if not isinstance(adapter, Task):
            return list(adapter.slot_encoders)
        try:
            row = self._predictor.read(self._to_input(rows[0]), self._request)
        except InputError:
            return None
        return list(row) if row.keys() <= rows.columns.keys() else None

    def _to_input(self, row: Row) -> Any:
        """Return a stored row as an input of `/predict`."""
        adapter = self._predictor.adapter
        return adapter.to_input_and_target(row)[0] if isinstance(adapter, Task) else row

    def _answer_rows(self, batch: Rows, start: int) -> list[RowResult]:
        try:
            outputs = self._predictor.answer(batch, output=self._request.output)
        except InputError as error:
            if len(batch) == 1:
                return [RowResult(start, None, _describe(error))]
            # One row spoils the batch: each alone tells which.
            return [result for row in range(len(batch)) for result in self._answer_rows(batch.take([row]), start + row)]
        finished = self._predictor.finish(outputs, len(batch), self._request)
        return [RowResult(start + row, output) for row, output in enumerate(finished)]

    def _answer_inputs(self, inputs: Sequence[Any], start: int) -> list[RowResult]:
        """Convert and answer inputs; those that cannot be read have an error."""
        results: dict[int, RowResult] = {}
        readable: list[tuple[int, list[Row]]] = []
        for index, raw_input in enumerate(inputs, start=start):
            try:
                readable.append((index, self._predictor.read_rows(raw_input, self._request)))
            except InputError as error:
                results[index] = RowResult(index, None, _describe(error))
        parts = [part for _, input_rows in readable for part in input_rows]
        outputs = self._predictor.answer(parts, output=self._request.output) if parts else []
        finished = self._predictor.finish(outputs, len(readable), self._request)
        results |= {index: RowResult(index, output) for (index, _), output in zip(readable, finished, strict=True)}
        return [results[index] for index in sorted(results)]

    def _adapt_batch(self, batch: Rows) -> None:
        """Choose the size of the next batches by the bytes of a row."""
        row_bytes = max(1, sum(getattr(value, "nbytes", 0) for value in batch[0].values()))
        self._batch_rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES // row_bytes))


def _has_empty_row(batch: Rows, columns: Sequence[str]) -> bool:
    """Return whether a row has nothing that the model reads.

    Only a conversion reports it.
    """
    return bool(np.logical_and.reduce([find_missing(batch.columns[name]) for name in columns]).any())


def _describe(error: InputError) -> dict[str, Any]:
    finding = error.findings[0]
    content = {"code": finding.code, "message": finding.message, "path": finding.path, "hint": finding.hint}
    return {name: value for name, value in content.items() if value is not None}
