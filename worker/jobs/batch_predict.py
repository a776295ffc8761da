"""`python -m worker.jobs.batch_predict JOB FENCE`: predict every row of a dataset.

Results are published in parts, so that an interrupted job continues after the last part, and a canceled one keeps them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from ml.data.dataset import SPLITS, Dataset
from ml.errors import InputError, SpecError, TrainingInterrupted
from ml.inference.batch_prediction import BatchPredictor
from ml.inference.predictor import Predictor
from ml.package.package import ModelPackage
from ml.spec.batch_prediction import BatchPredict, check_batch_prediction
from store import jobs, models
from store.blobs import blobs
from store.blobs.parts import list_parts, predictions_key, put_part
from store.database import reading
from worker.control_channel import FINISH, LEAVE
from worker.jobs import entrypoint
from worker.retry import retrying_transaction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml.data.rows import Rows
    from ml.inference.batch_prediction import RowResult
    from store.jobs import Claim
    from worker.control_channel import ChildEnd

#: A part is published at this size, or after this time.
PART_BYTES: Final = 8 << 20
PART_SECONDS: Final = 10.0
REPORT_SECONDS: Final = 1.0
#: Bad rows that the report lists; the file has all of them.
MAX_LISTED_ERRORS: Final = 100


def batch_predict(claim: Claim, folder: Path, channel: ChildEnd) -> None:
    """Fetch model and dataset, predict from the last part on, and end the job."""
    spec = BatchPredict.model_validate(claim.spec)
    with reading() as session:
        model = models.version(session, spec.model)
    package = ModelPackage.open(blobs().fetch_tree(model.key, folder / "package"))
    dataset = Dataset.open(blobs().fetch_tree(f"datasets/{claim.dataset_id}", folder / "dataset"))
    # Again, as the dataset may not have been ready when the job was submitted.
    if findings := check_batch_prediction(spec, package.manifest, dataset.summary):
        raise SpecError.of(findings)
    try:
        predictor = BatchPredictor(Predictor.load(package), spec.parameters)
    except InputError as error:
        raise SpecError(error.message, hint=error.hint, findings=error.findings) from error
    splits = [split for split in SPLITS if dataset.summary.splits.get(split) and spec.split in (None, split)]
    writer = _PartWriter(claim, folder, rows=sum(dataset.summary.splits[split] for split in splits))
    is_complete = True
    for number, split, results in _predict_splits(predictor, dataset, splits, start=writer.position):
        writer.write(number, split, results)
        if channel.request == LEAVE:
            writer.publish()
            raise TrainingInterrupted("interrupted; the predictions so far are published")
        if channel.request == FINISH:
            is_complete = False
            break
    writer.publish()
    report = {"model": spec.model, "dataset": spec.dataset, "format": spec.format, **_summarize(claim)}
    if spec.format == "parquet":
        _write_parquet(claim, folder / "predictions.parquet")
    reason = "completed" if is_complete else "stopped"
    retrying_transaction(lambda session: jobs.succeed(session, claim, report=report, reason=reason))


def _predict_splits(
    predictor: BatchPredictor, dataset: Dataset, splits: list[str], *, start: int
) -> Iterator[tuple[int, str, list[RowResult]]]:
    """Yield results from row `start` of all splits on.

    Each comes with its split and the number of rows before that.
    """
    before = 0
    for split in splits:
        rows: Rows = dataset.rows(split)
        for results in predictor.predict(rows, start=max(0, start - before)) if start < before + len(rows) else ():
            yield before, split, results
        before += len(rows)


@dataclass
class _PartWriter:
    """Writes lines to a part, publishes it, and reports the progress."""

    claim: Claim
    folder: Path
    #: Rows to predict in all.
    rows: int
    #: Rows that are done.
    position: int = 0
    _start: int = 0
    _bad_rows: int = 0
    _lines: list[bytes] = field(default_factory=list)
    _bytes: int = 0
    _published_at: float = field(default_factory=time.monotonic)
    _reported_at: float = 0.0
    _began: tuple[float, int] = (0.0, 0)

    def __post_init__(self) -> None:
        """Continue after the parts of earlier runs."""
        parts = list_parts(blobs(), self.claim.job_id)
        self.position = self._start = parts[-1].end if parts else 0
        self._began = time.monotonic(), self.position

    def write(self, before: int, split: str, results: list[RowResult]) -> None:
        """Append the results of rows of a split, which `before` rows precede."""
        for result in results:
            place = {"row": before + result.index + 1, "split": split, "index": result.index}
            content = {"output": result.output} if result.error is None else {"error": result.error}
            line = orjson.dumps({**place, **content}) + b"\n"
            self._lines.append(line)
            self._bytes += len(line)
            self._bad_rows += result.error is not None
        self.position = before + results[-1].index + 1
        now = time.monotonic()
        if self._bytes >= PART_BYTES or now - self._published_at >= PART_SECONDS:
            self.publish()
        if now - self._reported_at >= REPORT_SECONDS:
            self.report()

    def publish(self) -> None:
        """Publish the lines since the last part, if any."""
        if self._lines:
            path = self.folder / "part.jsonl"
            path.write_bytes(b"".join(self._lines))
            place = {"start": self._start, "end": self.position, "bad_rows": self._bad_rows}
            put_part(blobs(), self.claim.job_id, path, **place)
        self._start, self._lines, self._bytes, self._bad_rows = self.position, [], 0, 0
        self._published_at = time.monotonic()
        self.report()

    def report(self) -> None:
        """Write the progress; raises `StaleClaim` once the claim is lost."""
        began, first = self._began
        speed = (self.position - first) / max(1e-3, time.monotonic() - began)
        progress = {
            "phase": "predicting",
            "step": self.position,
            "steps": self.rows,
            "percent": round(100 * self.position / max(1, self.rows), 1),
            "samples_per_second": round(speed, 1),
            "eta_seconds": round((self.rows - self.position) / speed, 1) if speed else None,
        }
        retrying_transaction(lambda session: jobs.report(session, self.claim, progress=progress))
        self._reported_at = time.monotonic()


def _summarize(claim: Claim) -> dict[str, Any]:
    """Return the number of rows and of bad ones, and the first of these."""
    parts = list_parts(blobs(), claim.job_id)
    errors: list[dict[str, Any]] = []
    for part in parts:
        if part.bad_rows and len(errors) < MAX_LISTED_ERRORS:
            errors += [{"row": line["row"], **line["error"]} for line in _read_lines(part.key) if "error" in line]
    bad_rows = sum(part.bad_rows for part in parts)
    rows = parts[-1].end if parts else 0
    note = f"{bad_rows:,} of {rows:,} rows could not be predicted; each has its error in the file"
    return {
        "rows": rows,
        "bad_rows": bad_rows,
        "row_errors": errors[:MAX_LISTED_ERRORS],
        # Since the start of this process, which a run that was interrupted does not count.
        "cpu_seconds": round(time.process_time(), 2),
        "notes": [note] if bad_rows else [],
    }


def _read_lines(key: str) -> Iterator[dict[str, Any]]:
    with blobs().open(key) as file:
        for line in file:
            yield orjson.loads(line)


def _write_parquet(claim: Claim, path: Path) -> None:
    """Write all parts as one Parquet file, and publish it."""
    import pyarrow as pa
    from pyarrow import parquet

    def read_table(key: str) -> pa.Table:
        return pa.Table.from_pylist([_flatten(line) for line in _read_lines(key)])

    parts = list_parts(blobs(), claim.job_id)
    # Two passes, as a field may occur in later parts alone: memory holds one part at a time.
    schemas = [read_table(part.key).schema for part in parts]
    schema = pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([("row", pa.int64())])
    with parquet.ParquetWriter(path, schema) as writer:
        for part in parts:
            writer.write_table(pa.Table.from_pylist([_flatten(line) for line in _read_lines(part.key)], schema=schema))
    blobs().put_file(f"{predictions_key(claim.job_id)}/predictions.parquet", path, move=True)


def _flatten(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line with the fields of its output, and the message of its error."""
    error, output = line.pop("error", None), line.pop("output", None) or {}
    return {**line, **output, "error": error["message"] if error else None}


if __name__ == "__main__":
    entrypoint.exit_now(entrypoint.main(batch_predict))
