"""How graphs of elsewhere are to read, task by task: what their inputs must be, and how ours become them.

A graph computes from arrays; what makes arrays of a picture or a text is an encoder, which must come with it or be
plain from the shapes. Tasks whose reading or answering is agreed upon nowhere have no form here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.encoders.image import ImageConfig, ImageEncoder
from ml.errors import PackageError
from ml.learning.interchange.tokenizer_files import read_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ml.encoders.base import Encoder

FLOAT, INT32, INT64, BOOL = 1, 6, 7, 9
"""Of `onnx.TensorProto`."""
LOGITS: Final = "logits"


@dataclass(frozen=True, slots=True)
class CompanionFiles:
    """What came with a graph: the folder that it was unpacked to, and the `config.json` in it."""

    folder: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


class OnnxAdapter(ABC):
    """What a graph reads for one task, and answers: `logits` float32 [B, classes]."""

    slot: ClassVar[str]
    expected: ClassVar[str]

    @classmethod
    @abstractmethod
    def encoder(cls, model: Any, beside: CompanionFiles) -> tuple[Encoder[Any], list[str]]:
        """What makes arrays for this graph, and notes; raises `PackageError` where its inputs are other ones."""

    @classmethod
    @abstractmethod
    def connect(cls, model: Any) -> None:
        """Put nodes before the graph's inputs that make them of the arrays of a task."""

    @classmethod
    @abstractmethod
    def values(cls) -> list[Any]:
        """Raw values to try it with, the first the shortest."""


class Pictures(OnnxAdapter):
    """One input, whose shape says everything."""

    slot = "image"
    expected = (
        "Expected is one input, float32 [batch, 1 or 3 channels, height, width] of pixels in 0..1, with a free batch "
        "and fixed sizes, and one output, float32 [batch, classes]."
    )

    @classmethod
    def encoder(cls, model: Any, beside: CompanionFiles) -> tuple[ImageEncoder, list[str]]:
        """Of the size and channels that the input declares."""
        inputs = inputs_of(model)
        _refuse_other_outputs(model, cls.expected)
        kind = inputs[0].type.tensor_type
        sizes = [each.dim_value for each in kind.shape.dim]
        fits = kind.elem_type == FLOAT and len(sizes) == 4 and not sizes[0] and sizes[1] in (1, 3) and all(sizes[1:])
        if len(inputs) != 1 or not fits:
            raise PackageError(f"the graph's input has another form: {listed(inputs)}", hint=cls.expected)
        try:
            config = ImageConfig(channels=sizes[1], height=sizes[2], width=sizes[3])
        except ValueError as error:
            raise PackageError(f"the graph's input is too large: {listed(inputs)}", hint=cls.expected) from error
        return ImageEncoder(config), []

    @classmethod
    def connect(cls, model: Any) -> None:
        """As it is, by another name."""
        [given] = inputs_of(model)
        shape = ["batch", *(each.dim_value for each in given.type.tensor_type.shape.dim[1:])]
        within = _replace_inputs(model, {cls.slot: (FLOAT, shape)})
        _insert(model, "Identity", [cls.slot], within[given.name])

    @classmethod
    def values(cls) -> list[np.ndarray]:
        """Noise."""
        return list(np.random.default_rng(0).integers(0, 256, size=(3, 8, 8, 3), dtype=np.uint8))


class Texts(OnnxAdapter):
    """Tokens and which of them are real, as Hugging Face's library names them, with the tokenizer beside the graph."""

    slot = "text"
    expected = (
        "Expected is a zip of the .onnx file, its tokenizer.json, tokenizer_config.json that says how long a text may "
        "be, and config.json with id2label, or else labels. Its inputs are input_ids and attention_mask, perhaps "
        "token_type_ids, whole numbers [batch, tokens] with both free; its one output is float32 [batch, classes]."
    )
    TOKENS: ClassVar[frozenset[str]] = frozenset({"input_ids", "text", "tokens"})
    MASKS: ClassVar[frozenset[str]] = frozenset({"attention_mask", "text_mask", "mask"})
    KINDS: ClassVar[frozenset[str]] = frozenset({"token_type_ids"})
    """Of two texts read together, which one a token is of. Here there is one, and all are 0."""
    LONGEST: ClassVar[int] = 512
    """Tokens of a text, where nothing that came with the graph says so."""

    @classmethod
    def encoder(cls, model: Any, beside: CompanionFiles) -> tuple[Encoder[Any], list[str]]:
        """The tokenizer that came with it."""
        inputs = inputs_of(model)
        _refuse_other_outputs(model, cls.expected)
        names = {each.name for each in inputs}
        fits = len(names & cls.TOKENS) == len(names & cls.MASKS) == 1 and not names - cls.TOKENS - cls.MASKS - cls.KINDS
        if not fits or not all(_is_free_table(each) for each in inputs):
            raise PackageError(f"the graph's inputs have another form: {listed(inputs)}", hint=cls.expected)
        if beside.folder is None:
            raise PackageError("the graph came without the tokenizer that makes tokens of a text", hint=cls.expected)
        told = beside.config.get("max_position_embeddings")
        places = told if isinstance(told, int) and told > 0 else cls.LONGEST
        return read_tokenizer(beside.folder, beside.config, places=min(places, cls.LONGEST))

    @classmethod
    def connect(cls, model: Any) -> None:
        """Each converted to the numbers that the graph wants."""
        inputs = {each.name: each.type.tensor_type.elem_type for each in inputs_of(model)}
        mask, zeros = f"{cls.slot}_mask", f"{cls.slot}_zeros"
        table = ["batch", "tokens"]
        within = _replace_inputs(model, {cls.slot: (INT64, table), mask: (BOOL, table)})
        for name, kind in inputs.items():
            made_of = cls.slot if name in cls.TOKENS else mask if name in cls.MASKS else zeros
            _insert(model, "Cast", [made_of], within[name], to=kind)
        if inputs.keys() & cls.KINDS:
            _insert(model, "Sub", [cls.slot, cls.slot], zeros)

    @classmethod
    def values(cls) -> list[str]:
        """Of one word, of some, and as many as may be."""
        return ["good", "A quiet, moving film.", "It was not good at all. " * cls.LONGEST]


ADAPTERS: Final[Mapping[str, type[OnnxAdapter]]] = {"image_classification": Pictures, "text_classification": Texts}
"""By task."""


def inputs_of(model: Any) -> list[Any]:
    """Those that must be given."""
    known = {tensor.name for tensor in model.graph.initializer}
    return [each for each in model.graph.input if each.name not in known]


def answer_with_logits(model: Any, *, classes: int) -> list[str]:
    """Call its one output `logits`; returns notes. A last softmax is left out: what it is given, we want."""
    from onnx import helper

    [answer] = model.graph.output
    notes, made = [], answer.name
    last = next((node for node in model.graph.node if made in node.output), None)
    if last is not None and last.op_type == "Softmax":
        model.graph.node.remove(last)
        made = last.input[0]
        notes.append("its last softmax is left out, for confidences are computed from what goes into it")
    within = _rename(model, [LOGITS])
    model.graph.node.append(helper.make_node("Identity", [within.get(made, made)], [LOGITS]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(LOGITS, FLOAT, ["batch", classes]))
    return notes


def _replace_inputs(model: Any, wanted: Mapping[str, tuple[int, Sequence[Any]]]) -> dict[str, str]:
    """Other inputs, by name their type and shape. The old ones are tensors now that a node must make.

    Returns by their old names what they are called within.
    """
    from onnx import helper

    old = [each.name for each in inputs_of(model)]
    new = _rename(model, wanted)
    within = {name: new.get(name, name) for name in old}
    kept = [each for each in model.graph.input if each.name not in within.values()]
    made = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in wanted.items()]
    del model.graph.input[:]
    model.graph.input.extend([*made, *kept])
    return within


def _insert(model: Any, kind: str, given: Sequence[str], made: str, **attributes: Any) -> None:
    """A node before all others."""
    from onnx import helper

    model.graph.node.insert(0, helper.make_node(kind, given, [made], **attributes))


def _rename(model: Any, taken: Iterable[str]) -> dict[str, str]:
    """Tensors that have a name that is wanted for others, wherever they are used; returns old names and new ones."""
    new = {name: f"{name}_of_the_graph" for name in taken}
    for graph in _graphs(model.graph):
        for node in graph.node:
            for told in (node.input, node.output):
                told[:] = [new.get(name, name) for name in told]
        for tensor in (*graph.initializer, *graph.value_info, *graph.input, *graph.output):
            tensor.name = new.get(tensor.name, tensor.name)
    return new


def listed(values: Any) -> str:
    """Names and shapes, to be read."""
    shown = []
    for value in values:
        dims = value.type.tensor_type.shape.dim
        shown.append(f"{value.name} [{', '.join(str(each.dim_value or each.dim_param or '?') for each in dims)}]")
    return ", ".join(shown) or "nothing"


def _graphs(graph: Any) -> list[Any]:
    found = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                found += _graphs(inner)
    return found


def _is_free_table(value: Any) -> bool:
    kind = value.type.tensor_type
    sizes = [each.dim_value for each in kind.shape.dim]
    return kind.elem_type in (INT32, INT64, BOOL, FLOAT) and len(sizes) == 2 and not any(sizes)


def _refuse_other_outputs(model: Any, expected: str) -> None:
    if len(model.graph.output) != 1:
        shown = f"{listed(inputs_of(model))} in, {listed(model.graph.output)} out"
        raise PackageError(f"the graph has another form: {shown}", hint=expected)
