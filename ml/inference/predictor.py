"""A package that answers: inputs in any form in, JSON out, by the very code that training read its data with."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from ml.data.rows import Rows
from ml.encoders.base import collate_slots, encode_slots, take
from ml.errors import MAX_SHOWN_CHARACTERS, PARAMETERS, InputError, PackageError, shorten, unknown
from ml.inference.batch_planning import CallCost, even_cuts, lengths_of
from ml.inference.onnx_session import OnnxGraphs, open_once, spent_seconds
from ml.tasks.base import MODEL
from ml.wire import INPUT_OF, RawInput, Wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ml.data.rows import Row
    from ml.encoders.base import Column, Encoder
    from ml.generation.loop import GeneratedSequence, GenerationLoop
    from ml.inference.onnx_session import Session
    from ml.package.package import ModelPackage
    from ml.signals import Arrays, Run
    from ml.tasks.base import Task

BATCH_INPUTS: Final = 64
BATCH_BYTES: Final = 64 << 20
"""Inputs are read and run so many, or so much, at a time: memory does not grow with a request."""
REQUEST_BYTES: Final = 256 << 20
"""What the inputs of one call may unpack to: a small file can hold a very large picture, and a call many of them."""
VALUE_BYTES: Final = 64
"""Of each value in a list, whatever it is."""
EMBEDDING: Final = "embedding"
TORCH_ENGINE: Final = "ml.learning.export.torch_runner"
"""Runs a package that has no graph. Found by its name, since this half must do without torch."""


class EmbeddingOutput(Wire):
    """What a backbone makes of an input: a point among points, alike inputs near each other."""

    embedding: list[float]


class ParsedRequest(NamedTuple):
    """What the parameters of a request say."""

    wanted: str | None
    """`embedding`, or None for what the task answers."""
    fields: Mapping[str, Any]
    """What every input says unless it says otherwise."""


_NOTHING_ASKED: Final = ParsedRequest(None, MappingProxyType({}))


class Predictor:
    """One package, loaded. `engine` says what runs it: `onnxruntime` or `torch`."""

    def __init__(
        self,
        package: ModelPackage,
        *,
        engine: str,
        run: Run,
        trunk: Session | None = None,
    ) -> None:
        """`trunk` is what `run` runs before the task's head, where that is a graph of its own."""
        self.manifest = package.manifest
        self.engine = engine
        self.alike = _alike(package) if trunk is not None else None
        """Equal for models whose rows can be answered together: they encode alike, and have one trunk. None: with no
        other."""
        self._run = run
        self._trunk = trunk
        task = package.task()
        self._asked: Task | _Embedding = task or _embedding_by(package.encoders())
        self._writer = task if task is not None and task.streams else None
        self._cost = CallCost() if trunk is None else trunk.cost
        self._alone = any(graph.is_served_row_by_row for graph in self.manifest.graphs.values())

    @classmethod
    def load(cls, package: ModelPackage) -> Self:
        """By its graph if it has one, else by torch where that is installed; raises `PackageError`."""
        graphs = package.manifest.graphs
        if graphs:
            run = OnnxGraphs(
                {name: [_opened(package, each) for each in graph.served_files] for name, graph in graphs.items()}
            )
            return cls(package, engine="onnxruntime", run=run, trunk=run.trunks.get(MODEL))
        if importlib.util.find_spec("torch") is None:
            why = package.manifest.no_graph_reason or "it was not exported"
            message = f"the model has no ONNX graph ({why}), and torch, which could run it, is not installed"
            raise PackageError(message, hint="Install plinth[server] where predictions are made.")
        run = importlib.import_module(TORCH_ENGINE).load(package)
        return cls(package, engine="torch", run=run)

    def predict(self, inputs: Sequence[Any], *, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """One answer for each input, in the same order. An input is JSON, a bare body as bytes, or the task's `Wire`.

        `parameters` are fields for every input; `{"return": "embedding"}` asks for what the backbone makes of it.
        Raises `InputError` with the index of the first input that cannot be read.
        """
        asked = self.asked(parameters or {})
        answers: list[dict[str, Any]] = []
        for rows in self.batches(inputs, asked):
            answers += self.answer(rows, wanted=asked.wanted)
        return answers

    def asked(self, parameters: Mapping[str, Any]) -> ParsedRequest:
        """What a request's parameters come to; raises `InputError` for one that there is not."""
        if not parameters:
            return _NOTHING_ASKED
        fields = dict(parameters)
        wanted = fields.pop("return", None)
        if wanted not in (None, EMBEDDING):
            message = f"there is no {shorten(wanted)}; known: {EMBEDDING}"
            raise InputError(message, field=f"{PARAMETERS}.return", hint="Leave it out for what the task answers.")
        known = self._asked.input_type.model_fields
        for name in (name for name in fields if name not in known):
            place = f"{PARAMETERS}.{name[:MAX_SHOWN_CHARACTERS]}"
            names = ("return", *known)
            raise InputError.of([unknown("parameter", name, names, path=place, default_hint="Leave it out.")])
        return ParsedRequest(wanted, fields)

    def read(self, given: Any, asked: ParsedRequest) -> Row:
        """One input as a canonical row; raises `InputError`."""
        try:
            return self._asked.read(given, parameters=asked.fields)
        except InputError as error:
            raise error.with_paths(partial(_place, given=given, asked=asked)) from None

    def answer(self, rows: Sequence[Row], *, wanted: str | None) -> list[dict[str, Any]]:
        """One answer as JSON for each row, in order, whoever asked: no answer depends on the rows beside it.

        Rows of many lengths are put into as many calls as cost the least (see `ml.inference.batch_planning`).
        """
        answers: list[dict[str, Any]] = [{}] * len(rows)
        for places, part in self._parts(rows):
            found = self._call(self._asked.collate(part), wanted)
            if places is None:
                return found
            for place, answer in zip(places.tolist(), found, strict=True):
                answers[place] = answer
        return answers

    def _parts(self, rows: Sequence[Row]) -> Iterator[tuple[np.ndarray | None, dict[str, Column]]]:
        """The columns of each call, and the places of its rows; None for all. A call is made before the next part."""
        columns = self._asked.encode(Rows({name: [row[name] for row in rows] for name in rows[0]}))
        lengths = lengths_of(columns)
        if self._alone or lengths is None:
            cuts = [(row, row + 1) for row in range(len(rows))] if self._alone else even_cuts(columns)
            for start, end in cuts:
                places = np.arange(start, end)
                yield (None, columns) if len(cuts) == 1 else (places, take(columns, places))
            return
        order = np.argsort(lengths, kind="stable")
        for start, end in self._cost.cuts(lengths[order]):
            part = order[start:end]
            began = spent_seconds()
            yield part, take(columns, part)
            self._cost.note(end - start, int(lengths[part[-1]]), seconds=spent_seconds() - began)

    def _call(self, batch: Arrays, wanted: str | None) -> list[dict[str, Any]]:
        answer, decode = (
            (self._asked.answer, self._asked.decode) if wanted is None else (self._asked.embed, _embeddings)
        )
        return decode({**batch, **answer(self._run, batch)})

    @classmethod
    def answer_together(
        cls, asked: Sequence[tuple[Predictor, Sequence[Row]]], *, wanted: str | None
    ) -> list[list[dict[str, Any]]]:
        """What `answer` says of each, for models that are `alike`: one run of the trunk for all, one of each head."""
        first, trunk = asked[0][0], asked[0][0]._trunk
        assert trunk is not None, "models are alike by their trunk"
        starts = np.cumsum([0, *(len(rows) for _, rows in asked)]).tolist()
        owners = np.repeat(np.arange(len(asked)), [len(rows) for _, rows in asked])
        answers: list[dict[str, Any]] = [{}] * len(owners)
        for places, part in first._parts([row for _, rows in asked for row in rows]):
            batch = first._asked.collate(part)
            batch |= trunk.run(batch)
            at = np.arange(len(owners)) if places is None else places
            for owner in np.unique(owners[at]).tolist():
                mine = np.flatnonzero(owners[at] == owner)
                found = asked[owner][0]._call({name: each[mine] for name, each in batch.items()}, wanted)
                for place, answer in zip(at[mine].tolist(), found, strict=True):
                    answers[place] = answer
        return [answers[start:end] for start, end in pairwise(starts)]

    @property
    def run(self) -> Run:
        """Whatever runs the graphs."""
        return self._run

    @property
    def streams(self) -> bool:
        """Whether answers can be had piece by piece."""
        return self._writer is not None

    def writing(self) -> GenerationLoop:
        """A loop in which many answers are written together. Only where it `streams`, like the next two."""
        return self._needed_writer().writing(self._run)

    def begin(self, row: Row) -> GeneratedSequence:
        """A row as it joins the loop."""
        writer = self._needed_writer()
        (one,) = writer.begun(writer.collate(writer.encode(Rows({name: [value] for name, value in row.items()}))))
        return one

    def ended(self, one: GeneratedSequence) -> dict[str, Any]:
        """The whole answer as JSON, once it has left the loop."""
        return self._needed_writer().ended(one)

    def _needed_writer(self) -> Task:
        if self._writer is None:
            raise InputError("this model answers at once, not piece by piece", hint="Ask for application/json.")
        return self._writer

    def graphs(self) -> dict[str, Any]:
        """By name what each graph reads and answers, how it compares with the network, and what is served of it."""
        return {name: graph.model_dump(mode="json") for name, graph in self.manifest.graphs.items()}

    def signature(self) -> dict[str, Any]:
        """JSON schemas of input and output, and an input with what this very model answers to it."""
        given = self._asked.example()[0].model_dump(mode="json", exclude_none=True)
        return {
            "input_schema": self._asked.input_type.model_json_schema(),
            "output_schema": self._asked.output_type.model_json_schema(mode="serialization"),
            "example": {"input": given, "output": self.predict([given])[0]},
            "engine": self.engine,
            "graphs": self.graphs(),
        }

    def batches(self, inputs: Sequence[Any], asked: ParsedRequest) -> Iterator[list[Row]]:
        """The inputs read, so many at a time as may be run at once; raises `InputError` with the index of a bad one."""
        if len(inputs) > 1 and _weight(asked.fields) * len(inputs) > REQUEST_BYTES:
            message = f"said for {len(inputs):,} inputs, they come to over {REQUEST_BYTES >> 20} MiB"
            raise InputError(
                message, field=PARAMETERS, hint="Send fewer inputs at a time, or say less for all of them."
            )
        rows: list[Row] = []
        held = total = 0
        for index, given in enumerate(inputs):
            try:
                row = self.read(given, asked)
            except InputError as error:
                error.index = index
                raise
            size = sum(getattr(value, "nbytes", 0) for value in row.values())
            rows.append(row)
            held, total = held + size, total + size
            if total > REQUEST_BYTES:
                message = f"together, the inputs so far unpack to over {REQUEST_BYTES >> 20} MiB"
                raise InputError(message, index=index, hint="Send fewer at a time, or smaller pictures.")
            if len(rows) >= BATCH_INPUTS or held >= BATCH_BYTES:
                yield rows
                rows, held = [], 0
        if rows:
            yield rows


class _Embedding:
    """Stands where a task would, for a base model: reads what the backbone reads, answers its embedding."""

    output_type = EmbeddingOutput
    input_type: type[RawInput] | _AnyInput

    def __init__(self, encoders: Mapping[str, Encoder[Any]]) -> None:
        self.encoders = encoders
        self.slot, encoder = next(iter(encoders.items()))
        self.input_type = INPUT_OF[encoder.name]

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        return {self.slot: INPUT_OF[self.encoders[self.slot].name].value_of(given, parameters=parameters)}

    def encode(self, rows: Rows) -> dict[str, Column]:
        return encode_slots(self.encoders, {self.slot: self.slot}, rows)

    def collate(self, columns: dict[str, Column]) -> Arrays:
        return collate_slots(self.encoders, columns)

    def answer(self, run: Run, batch: Arrays) -> Arrays:
        return run(MODEL, batch)

    def embed(self, run: Run, batch: Arrays) -> Arrays:
        return self.answer(run, batch)

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        return _embeddings(arrays)

    def example(self) -> tuple[Wire, Wire]:
        return self.input_type.make_example(), EmbeddingOutput(embedding=[0.0, 1.5])


class _AnyEmbedding(_Embedding):
    """The same for a base model of several backbones: each row is read by the one that can."""

    input_type: _AnyInput

    def __init__(self, encoders: Mapping[str, Encoder[Any]]) -> None:
        super().__init__(encoders)
        self.input_type = _AnyInput({slot: INPUT_OF[encoder.name] for slot, encoder in encoders.items()})

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        return {"given": self.input_type.read(given, parameters=parameters)}

    def encode(self, rows: Rows) -> dict[str, Column]:
        given = [(slot, self.encoders[slot].encode([value])[0]) for slot, value in rows.columns["given"]]
        return {"given": given}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        batch: Arrays = {}
        for slot, encoder in self.encoders.items():
            rows = [row for row, (name, _) in enumerate(columns["given"]) if name == slot]
            if rows:
                signal = collate_slots({slot: encoder}, {slot: _column([columns["given"][row][1] for row in rows])})
                batch |= {**signal, f"{slot}_rows": np.array(rows)}
        return batch

    def answer(self, run: Run, batch: Arrays) -> Arrays:
        """One embedding a row, as wide as the backbone gives it that read the row."""
        asked = [slot for slot in self.encoders if slot in batch]
        found = np.empty(sum(len(batch[slot]) for slot in asked), dtype=object)
        for slot in asked:
            for row, embedding in zip(batch[f"{slot}_rows"], run(slot, batch)[EMBEDDING], strict=True):
                found[row] = embedding
        return {EMBEDDING: found}


class _AnyInput:
    """The input of any one of several slots: the one whose fields were sent, or that can read the body."""

    def __init__(self, by_slot: Mapping[str, type[RawInput]]) -> None:
        self._by_slot = by_slot
        self.model_fields = {name: each for kind in by_slot.values() for name, each in kind.model_fields.items()}

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> tuple[str, Any]:
        """The slot, and the value it reads."""
        first: InputError | None = None
        for slot in self._likely(given):
            try:
                return slot, self._by_slot[slot].value_of(given, parameters=parameters)
            except InputError as error:
                first = first or error
        assert first is not None, "there are slots"
        raise first

    def _likely(self, given: Any) -> Iterable[str]:
        fields = {slot: kind.model_fields.keys() for slot, kind in self._by_slot.items()}
        named = [slot for slot, names in fields.items() if isinstance(given, Mapping) and not names.isdisjoint(given)]
        return named or self._by_slot

    def model_json_schema(self) -> dict[str, Any]:
        return {"anyOf": [kind.model_json_schema() for kind in self._by_slot.values()]}

    def make_example(self) -> RawInput:
        return next(iter(self._by_slot.values())).make_example()


def _embedding_by(encoders: Mapping[str, Encoder[Any]]) -> _Embedding:
    return _Embedding(encoders) if len(encoders) == 1 else _AnyEmbedding(encoders)


def _column(rows: list[Any]) -> Column:
    """An array where all rows have one shape and more than one axis, as an encoder gives it."""
    return np.stack(rows) if rows[0].ndim > 1 and len({row.shape for row in rows}) == 1 else rows


def _embeddings(arrays: Arrays) -> list[dict[str, Any]]:
    if EMBEDDING not in arrays:
        message = "this model makes no embedding of its input"
        raise InputError(message, field=f"{PARAMETERS}.return", hint="Leave it out.")
    return [{"embedding": row.tolist()} for row in arrays[EMBEDDING]]


def _weight(value: Any) -> int:
    """Bytes, roughly, that a value out of JSON comes to once it is read."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(VALUE_BYTES + _weight(each) for each in value.values())
    return sum(VALUE_BYTES + _weight(each) for each in value) if isinstance(value, list) else 0


def _place(field: str, *, given: Any, asked: ParsedRequest) -> str:
    """Of a fault: the input, unless what the field holds was said for all inputs and not by this one."""
    name = field.partition(".")[0]
    its_own = name not in asked.fields or (isinstance(given, Mapping) and name in given)
    return field if its_own else f"{PARAMETERS}.{field}"


def _opened(package: ModelPackage, name: str) -> Session:
    return open_once(package.entry(name).sha256, lambda: package.file(name))


def _alike(package: ModelPackage) -> tuple[str, ...]:
    manifest = package.manifest
    trunk, *_ = manifest.graphs[MODEL].served_files
    reading = [f"{file.path} {file.sha256}" for file in manifest.files if file.path.startswith("encoders/")]
    return (package.entry(trunk).sha256, manifest.task.name if manifest.task else "", *reading)
