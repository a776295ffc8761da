"""Prediction with a package: inputs in any accepted form in, JSON out.

Inputs are read and encoded by the same code that training reads its data with.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from ml.data.rows import Rows
from ml.encoders.base import take
from ml.encoders.text import TextEncoder
from ml.errors import MAX_SHOWN_CHARACTERS, PARAMETERS, InputError, PackageError, shorten, unknown
from ml.inference.batch_planning import CallCost, even_cuts, lengths_of
from ml.inference.cascade import Cascade, Stage
from ml.inference.embedding_adapter import EMBEDDING, decode_embeddings, embedding_adapter
from ml.inference.onnx_session import OnnxGraphs, open_once, spent_seconds
from ml.metrics.calibration import CONFORMAL, add_label_sets, check_coverage
from ml.preprocessing.long_texts import join_windows
from ml.tasks.base import MODEL, StreamingTask
from plinth.installation import install_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.rows import Row
    from ml.encoders.base import Column
    from ml.generation.loop import GeneratedSequence, GenerationLoop
    from ml.inference.onnx_session import Session
    from ml.package.package import ModelPackage
    from ml.signals import Arrays, Run
    from ml.tasks.base import TaskAdapter

#: Limits of one batch, in inputs and bytes: memory does not grow with the size of a request.
BATCH_INPUTS: Final = 64
BATCH_BYTES: Final = 64 << 20
#: Limit on the decoded inputs of one request: a small file can hold a very large image, and a request many of them.
MAX_REQUEST_BYTES: Final = 256 << 20
#: Estimated size of one value in a list.
VALUE_BYTES: Final = 64
#: Runs a package without a graph. Imported by name, since this half of `ml` must work without torch.
TORCH_ENGINE: Final = "ml.learning.export.torch_runner"


class ParsedRequest(NamedTuple):
    """The parameters of a request."""

    #: `embedding`, or None for what the task predicts.
    output: str | None
    #: Fields of every input that does not set them itself.
    fields: Mapping[str, Any]
    #: Fraction of inputs whose set of labels shall hold the true one; None for no sets.
    coverage: float | None = None


_NO_PARAMETERS: Final = ParsedRequest(None, MappingProxyType({}))


class Predictor:
    """One loaded package. `engine` is what runs it: `onnxruntime` or `torch`."""

    def __init__(
        self,
        package: ModelPackage,
        *,
        engine: str,
        run: Run,
        trunk: Session | None = None,
        device: str = "cpu",
    ) -> None:
        """Use `load` instead.

        `trunk` is what `run` runs before the head, where the trunk is a graph of its own.
        """
        self.manifest = package.manifest
        self.engine = engine
        #: Equal for models whose rows can be batched together: same encoders, task and trunk. None: with no other.
        self.trunk_key = _trunk_key(package) if trunk is not None else None
        self._run = run
        self._trunk = trunk
        self._device = device
        task = package.task()
        self._adapter: TaskAdapter = task or embedding_adapter(package.encoders())
        #: True if long texts are split when they are read, which takes time.
        self.splits_texts = bool(self._adapter.text_columns)
        self._streaming_task = task if isinstance(task, StreamingTask) else None
        self._cost = CallCost() if trunk is None else trunk.cost
        self._runs_rows_alone = any(graph.is_served_row_by_row for graph in self.manifest.graphs.values())

    @classmethod
    def load(cls, package: ModelPackage, *, device: str = "cpu") -> Self:
        """Load the graph of a package, or its weights where torch is installed.

        `device` is where graphs run: `cpu`, `cuda` or `cuda:N`. Raises `PackageError`.
        """
        graphs = package.manifest.graphs
        if graphs:
            run = OnnxGraphs(
                {name: [_open(package, file, device) for file in graph.served_files] for name, graph in graphs.items()}
            )
            if package.manifest.exits:
                return cls(package, engine="onnxruntime", run=_open_cascade(package, device), device=device)
            return cls(package, engine="onnxruntime", run=run, trunk=run.trunks.get(MODEL), device=device)
        if importlib.util.find_spec("torch") is None:
            why = package.manifest.no_graph_reason or "it was not exported"
            message = f"the model has no ONNX graph ({why}), and torch, which could run it, is not installed"
            raise PackageError(message, hint=f"Install it where predictions are made: {install_command('server')}")
        run = importlib.import_module(TORCH_ENGINE).load(package)
        return cls(package, engine="torch", run=run)

    def predict(self, inputs: Sequence[Any], *, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return one output for each input, in order.

        An input is JSON, a raw body as bytes, or the task's `Wire`. `parameters` are fields of every input; `{"return":
        "embedding"}` requests the embedding instead of what the task predicts. Raises `InputError` with the index of
        the first input that cannot be read.
        """
        request = self.parse_parameters(parameters or {})
        outputs: list[dict[str, Any]] = []
        for rows in self.batches(inputs, request):
            outputs += self.answer(rows, output=request.output)
        return self.finish(outputs, len(inputs), request)

    def parse_parameters(self, parameters: Mapping[str, Any]) -> ParsedRequest:
        """Check the parameters of a request; raises `InputError` for one that does not exist."""
        if not parameters:
            return _NO_PARAMETERS
        fields = dict(parameters)
        output = fields.pop("return", None)
        if output not in (None, EMBEDDING):
            message = f"there is no output {shorten(output)}; known: {EMBEDDING}"
            raise InputError(message, field=f"{PARAMETERS}.return", hint="Omit it to get what the task predicts.")
        input_fields = self._adapter.input_fields()
        coverage = self._pop_coverage(fields, output) if CONFORMAL in fields and CONFORMAL not in input_fields else None
        for name in (name for name in fields if name not in input_fields):
            path = f"{PARAMETERS}.{name[:MAX_SHOWN_CHARACTERS]}"
            names = ("return", CONFORMAL, *input_fields) if self._has_classes else ("return", *input_fields)
            raise InputError.of([unknown("parameter", name, names, path=path, default_hint="Omit it.")])
        return ParsedRequest(output, fields, coverage)

    @property
    def _has_classes(self) -> bool:
        return "probabilities" in self._adapter.output_type.model_fields

    def _pop_coverage(self, fields: dict[str, Any], output: str | None) -> float:
        """Remove and check the parameter `conformal`; raises `InputError` unless this model can answer it."""
        try:
            coverage = check_coverage(fields.pop(CONFORMAL))
            if output is not None or not self._has_classes:
                raise InputError("sets of labels are for what a classifier predicts", hint="Omit it.")
            add_label_sets([], self._adapter.calibration, coverage)
        except InputError as error:
            raise error.with_paths(lambda _: f"{PARAMETERS}.{CONFORMAL}") from None
        return coverage

    def read(self, raw_input: Any, request: ParsedRequest) -> Row:
        """Convert one input to a canonical row; raises `InputError`."""
        try:
            return self._adapter.read(raw_input, parameters=request.fields)
        except InputError as error:
            raise error.with_paths(partial(_path_of, raw_input=raw_input, request=request)) from None

    def read_rows(self, raw_input: Any, request: ParsedRequest) -> list[Row]:
        """Convert one input to its rows.

        There is one row for each window of a text that is read in windows, else one row. Raises `InputError`.
        """
        row = self.read(raw_input, request)
        return self._adapter.split(row) if self.needs_split(row) else [row]

    def needs_split(self, row: Row) -> bool:
        """Return whether `read_rows` does more than `read` with this row.

        It makes windows, or tokenizes a very long text.
        """
        return self.splits_texts and self._adapter.needs_split(row)

    def finish(self, outputs: list[dict[str, Any]], inputs: int, request: ParsedRequest) -> list[dict[str, Any]]:
        """Return one output for each of `inputs` from the outputs of all their rows.

        Those of a request with a coverage get a set of labels.
        """
        joined = outputs if len(outputs) == inputs else join_windows(outputs)
        if request.coverage is None:
            return joined
        return add_label_sets(joined, self._adapter.calibration, request.coverage)

    def answer(self, rows: Sequence[Row], *, output: str | None) -> list[dict[str, Any]]:
        """Return one output as JSON for each row, in order.

        No output depends on the other rows. Rows of different lengths are split into the calls that cost least (see
        `ml.inference.batch_planning`).
        """
        raw_rows = rows if isinstance(rows, Rows) else _to_rows(rows)
        columns = self._adapter.encode(raw_rows)
        outputs: list[dict[str, Any]] = [{}] * len(rows)
        for positions, call_columns in self._calls(columns, len(rows)):
            call_outputs = self._call(self._adapter.collate(call_columns), output)
            if positions is None:
                outputs = call_outputs
                break
            for position, row_output in zip(positions.tolist(), call_outputs, strict=True):
                outputs[position] = row_output
        return self._add_truncation(outputs, raw_rows, columns)

    def _add_truncation(
        self, outputs: list[dict[str, Any]], rows: Rows, columns: Mapping[str, Column]
    ) -> list[dict[str, Any]]:
        if self.splits_texts:
            for row, fields in self._adapter.truncation(rows, columns).items():
                outputs[row] = {**outputs[row], **fields}
        return outputs

    def _calls(self, columns: dict[str, Column], count: int) -> Iterator[tuple[np.ndarray | None, dict[str, Column]]]:
        """Yield the positions of the rows of each call, None for all, and their columns.

        The caller runs each call before it requests the next, as the time between is recorded as the cost of the call.
        """
        lengths = lengths_of(columns)
        if self._runs_rows_alone or lengths is None:
            cuts = [(row, row + 1) for row in range(count)] if self._runs_rows_alone else even_cuts(columns)
            for start, end in cuts:
                positions = np.arange(start, end)
                yield (None, columns) if len(cuts) == 1 else (positions, take(columns, positions))
            return
        order = np.argsort(lengths, kind="stable")
        for start, end in self._cost.cuts(lengths[order]):
            positions = order[start:end]
            start_seconds = spent_seconds(self._device)
            yield positions, take(columns, positions)
            self._cost.record(
                end - start, int(lengths[positions[-1]]), seconds=spent_seconds(self._device) - start_seconds
            )

    def _call(self, batch: Arrays, output: str | None) -> list[dict[str, Any]]:
        adapter = self._adapter
        if output is None:
            return adapter.decode({**batch, **adapter.predict(self._run, batch)})
        run = self._run.whole if isinstance(self._run, Cascade) else self._run
        return decode_embeddings({**batch, **adapter.embed(run, batch)})

    @classmethod
    def answer_together(
        cls, jobs: Sequence[tuple[Predictor, Sequence[Row]]], *, output: str | None
    ) -> list[list[dict[str, Any]]]:
        """Return what `answer` returns for each job, for models with the same `trunk_key`.

        The trunk runs once for the rows of all jobs, and each head for its own rows.
        """
        first, trunk = jobs[0][0], jobs[0][0]._trunk
        assert trunk is not None, "models are batched together by their trunk"
        starts = np.cumsum([0, *(len(rows) for _, rows in jobs)]).tolist()
        owners = np.repeat(np.arange(len(jobs)), [len(rows) for _, rows in jobs])
        outputs: list[dict[str, Any]] = [{}] * len(owners)
        raw_rows = _to_rows([row for _, rows in jobs for row in rows])
        columns = first._adapter.encode(raw_rows)
        for positions, call_columns in first._calls(columns, len(owners)):
            batch = first._adapter.collate(call_columns)
            batch |= trunk.run(batch)
            at = np.arange(len(owners)) if positions is None else positions
            for owner in np.unique(owners[at]).tolist():
                own_rows = np.flatnonzero(owners[at] == owner)
                own_batch = {name: array[own_rows] for name, array in batch.items()}
                own_outputs = jobs[owner][0]._call(own_batch, output)
                for position, row_output in zip(at[own_rows].tolist(), own_outputs, strict=True):
                    outputs[position] = row_output
        outputs = first._add_truncation(outputs, raw_rows, columns)
        return [outputs[start:end] for start, end in pairwise(starts)]

    @property
    def adapter(self) -> TaskAdapter:
        """Adapter that converts inputs to rows, and arrays to outputs."""
        return self._adapter

    @property
    def run(self) -> Run:
        """The function that runs the graphs."""
        return self._run

    @property
    def can_stream(self) -> bool:
        """True if the output can be streamed while it is generated."""
        return self._streaming_task is not None

    def generation_loop(self) -> GenerationLoop:
        """Return a loop that generates many outputs together; this and the next three require `can_stream`."""
        return self._require_streaming().generation_loop(self._run)

    def start_sequence(self, row: Row) -> GeneratedSequence:
        """Return the sequence of a row, ready to join the loop."""
        task = self._require_streaming()
        rows = _to_rows([row])
        columns = task.encode(rows)
        (sequence,) = task.start_sequences(task.collate(columns))
        sequence.prompt_fields = task.truncation(rows, columns).get(0, {})
        return sequence

    def take_log_probs(self, sequence: GeneratedSequence) -> list[dict[str, Any]] | None:
        """Return the tokens of the newest text with log-probabilities; None if they were not requested."""
        return self._require_streaming().take_log_probs(sequence)

    def finish_sequence(self, sequence: GeneratedSequence) -> dict[str, Any]:
        """Return the whole output as JSON, after the sequence has left the loop."""
        return {**self._require_streaming().finish_sequence(sequence), **sequence.prompt_fields}

    def _require_streaming(self) -> StreamingTask:
        if self._streaming_task is None:
            raise InputError("this model does not stream", hint="Request application/json.")
        return self._streaming_task

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return the number of tokens of all texts, without begin and end tokens.

        It is 0 for a model that reads no texts.
        """
        return 0 if self._text_encoder is None else sum(map(self._text_encoder.count, texts))

    def list_tokens(self, texts: Sequence[str], *, has_special_tokens: bool) -> list[list[dict[str, Any]]] | None:
        """Return the tokens of each text, as `TextEncoder.list_tokens`.

        Return None for a model that reads no texts.
        """
        encoder = self._text_encoder
        if encoder is None:
            return None
        return [encoder.list_tokens(text, has_special_tokens=has_special_tokens) for text in texts]

    @property
    def reads_texts(self) -> bool:
        """True if an input may have a text, whose embedding can be returned."""
        return "text" in self._adapter.input_fields()

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that are read; 0 for a model that reads no texts."""
        return 0 if self._text_encoder is None else self._text_encoder.config.max_length

    @cached_property
    def _text_encoder(self) -> TextEncoder | None:
        encoders = self._adapter.slot_encoders.values()
        return next((encoder for encoder in encoders if isinstance(encoder, TextEncoder)), None)

    def graphs(self) -> dict[str, Any]:
        """Describe each graph by name.

        The description has inputs, outputs, parity with the network, and the variant that is served.
        """
        return {name: graph.model_dump(mode="json") for name, graph in self.manifest.graphs.items()}

    def signature(self) -> dict[str, Any]:
        """Return JSON schemas, and an example input with this model's output."""
        example = self._adapter.example_input().model_dump(mode="json", exclude_none=True)
        return {
            "input_schema": self._adapter.input_schema(),
            "output_schema": self._adapter.output_type.model_json_schema(mode="serialization"),
            "example": {"input": example, "output": self.predict([example])[0]},
            "engine": self.engine,
            "graphs": self.graphs(),
        }

    def batches(self, inputs: Sequence[Any], request: ParsedRequest) -> Iterator[list[Row]]:
        """Read the inputs, in batches of as many rows as one may hold.

        An input may have several rows (see `read_rows`).
        Raises `InputError` with the index of the input that cannot be read.
        """
        if len(inputs) > 1 and _estimate_bytes(request.fields) * len(inputs) > MAX_REQUEST_BYTES:
            message = f"repeated for {len(inputs):,} inputs, they exceed {MAX_REQUEST_BYTES >> 20} MiB"
            raise InputError(message, field=PARAMETERS, hint="Send fewer inputs at a time, or smaller parameters.")
        rows: list[Row] = []
        batch_bytes = total_bytes = 0
        for index, raw_input in enumerate(inputs):
            try:
                input_rows = self.read_rows(raw_input, request)
            except InputError as error:
                error.index = index
                raise
            for row in input_rows:
                row_bytes = sum(getattr(value, "nbytes", 0) for value in row.values())
                rows.append(row)
                batch_bytes, total_bytes = batch_bytes + row_bytes, total_bytes + row_bytes
                if total_bytes > MAX_REQUEST_BYTES:
                    message = f"the inputs up to this one decode to over {MAX_REQUEST_BYTES >> 20} MiB"
                    raise InputError(message, index=index, hint="Send fewer at a time, or smaller images.")
                if len(rows) >= BATCH_INPUTS or batch_bytes >= BATCH_BYTES:
                    yield rows
                    rows, batch_bytes = [], 0
        if rows:
            yield rows


def _to_rows(rows: Sequence[Row]) -> Rows:
    return Rows({name: [row[name] for row in rows] for name in rows[0]})


def _estimate_bytes(value: Any) -> int:
    """Estimate the size in bytes of a JSON value once it is parsed."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(VALUE_BYTES + _estimate_bytes(item) for item in value.values())
    return sum(VALUE_BYTES + _estimate_bytes(item) for item in value) if isinstance(value, list) else 0


def _path_of(field: str, *, raw_input: Any, request: ParsedRequest) -> str:
    """Return the path of an invalid field, in `parameters` or in the input."""
    name = field.partition(".")[0]
    is_own = name not in request.fields or (isinstance(raw_input, Mapping) and name in raw_input)
    return field if is_own else f"{PARAMETERS}.{field}"


def _open_cascade(package: ModelPackage, device: str) -> Cascade:
    """Open the sizes of a model with early exits."""
    stages = []
    for stage in package.manifest.exits:
        sessions = {name: [_open(package, file, device) for file in files] for name, files in stage.files.items()}
        stages.append(Stage(OnnxGraphs(sessions), stage.temperature, stage.threshold))
    return Cascade(stages)


def _open(package: ModelPackage, name: str, device: str) -> Session:
    return open_once(package.entry(name).sha256, lambda: package.file(name), device=device)


def _trunk_key(package: ModelPackage) -> tuple[str, ...]:
    manifest = package.manifest
    trunk, *_ = manifest.graphs[MODEL].served_files
    encoders = [f"{file.path} {file.sha256}" for file in manifest.files if file.path.startswith("encoders/")]
    return (package.entry(trunk).sha256, manifest.task.name if manifest.task else "", *encoders)
