"""Adapters for imported ONNX graphs, by task.

An adapter checks the inputs of a graph, and inserts nodes that convert the inputs of the task to them. A graph computes
from arrays; the encoder that makes arrays of an image or a text must come with it, or follow from its shapes. Tasks
without standard inputs and outputs have no adapter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.encoders.image import ImageConfig, ImageEncoder
from ml.errors import PackageError
from ml.learning.interchange.onnx_graphs.outputs import rename_tensors
from ml.learning.interchange.tokenizer_files import read_tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ml.encoders.base import Encoder

#: Element types of `onnx.TensorProto`.
FLOAT, INT32, INT64, BOOL, FLOAT16, DOUBLE = 1, 6, 7, 9, 10, 11


@dataclass(frozen=True, slots=True)
class CompanionFiles:
    """Files that came with a graph."""

    #: Folder that they were extracted to; None if the graph came alone.
    folder: Path | None = None
    #: Content of `config.json`.
    config: Mapping[str, Any] = field(default_factory=dict)


class OnnxAdapter(ABC):
    """Adapter for the graphs of one task, which return `logits` float32 [B, classes]."""

    slot: ClassVar[str]
    #: Description of a graph that fits, for hints.
    expected: ClassVar[str]

    @classmethod
    @abstractmethod
    def make_encoder(cls, model: Any, companions: CompanionFiles) -> tuple[Encoder[Any], list[str]]:
        """Return the encoder for this graph, and notes.

        Raises `PackageError` if the inputs do not fit.
        """

    @classmethod
    @abstractmethod
    def adapt_inputs(cls, model: Any) -> None:
        """Replace the graph's inputs by those of the task, and insert nodes that convert them."""

    @classmethod
    @abstractmethod
    def examples(cls) -> list[Any]:
        """Return raw values to run the graph on, the shortest first."""


class ImageAdapter(OnnxAdapter):
    """Adapter for one input of images, whose shape determines the encoder."""

    slot = "image"
    expected = (
        "Expected one input, float32 [batch, 1 or 3 channels, height, width] of pixels in 0..1, with a free batch "
        "and fixed sizes, and one output, float32 [batch, classes]."
    )

    @classmethod
    def make_encoder(cls, model: Any, companions: CompanionFiles) -> tuple[ImageEncoder, list[str]]:
        """Return an encoder of the size and channels of the input."""
        inputs = graph_inputs(model)
        _check_outputs(model, cls.expected)
        tensor_type = inputs[0].type.tensor_type
        sizes = [dimension.dim_value for dimension in tensor_type.shape.dim]
        has_image_shape = len(sizes) == 4 and not sizes[0] and sizes[1] in (1, 3) and all(sizes[1:])
        if len(inputs) != 1 or tensor_type.elem_type not in (FLOAT, FLOAT16, DOUBLE) or not has_image_shape:
            raise PackageError(f"the inputs of the graph are not images: {describe_tensors(inputs)}", hint=cls.expected)
        try:
            config = ImageConfig(channels=sizes[1], height=sizes[2], width=sizes[3])
        except ValueError as error:
            message = f"the input of the graph is too large: {describe_tensors(inputs)} (limit 2048 x 2048)"
            raise PackageError(message, hint=cls.expected) from error
        return ImageEncoder(config), []

    @classmethod
    def adapt_inputs(cls, model: Any) -> None:
        """Rename the input, and cast it to the type of the graph."""
        [tensor] = graph_inputs(model)
        element_type = tensor.type.tensor_type.elem_type
        shape = ["batch", *(dimension.dim_value for dimension in tensor.type.tensor_type.shape.dim[1:])]
        inner_names = _replace_inputs(model, {cls.slot: (FLOAT, shape)})
        _insert_node(model, "Cast", [cls.slot], inner_names[tensor.name], to=element_type)

    @classmethod
    def examples(cls) -> list[np.ndarray]:
        """Return random images."""
        return list(np.random.default_rng(0).integers(0, 256, size=(3, 8, 8, 3), dtype=np.uint8))


class TextAdapter(OnnxAdapter):
    """Adapter for token ids and mask, as the transformers library names them, with a tokenizer."""

    slot = "text"
    expected = (
        "Expected a zip of the .onnx file, its tokenizer.json, tokenizer_config.json with the maximum length of a "
        "text, and config.json with id2label, or else labels. Its inputs are input_ids and attention_mask, optionally "
        "token_type_ids, integers [batch, tokens] with both axes variable; its one output is float32 [batch, classes]."
    )
    TOKENS: ClassVar[frozenset[str]] = frozenset({"input_ids", "text", "tokens"})
    MASKS: ClassVar[frozenset[str]] = frozenset({"attention_mask", "text_mask", "mask"})
    #: Which text of a pair a token belongs to. There is only one text here, so all are 0.
    TOKEN_TYPES: ClassVar[frozenset[str]] = frozenset({"token_type_ids"})
    #: Limit of a text, unless the files of the graph have a lower one.
    MAX_TOKENS: ClassVar[int] = 512

    @classmethod
    def make_encoder(cls, model: Any, companions: CompanionFiles) -> tuple[Encoder[Any], list[str]]:
        """Return an encoder with the tokenizer of the graph."""
        inputs = graph_inputs(model)
        _check_outputs(model, cls.expected)
        names = {tensor.name for tensor in inputs}
        has_known_names = len(names & cls.TOKENS) == len(names & cls.MASKS) == 1
        has_known_names &= names <= cls.TOKENS | cls.MASKS | cls.TOKEN_TYPES
        if not has_known_names or not all(_has_variable_axes(tensor) for tensor in inputs):
            raise PackageError(
                f"the inputs of the graph are not tokens and mask: {describe_tensors(inputs)}", hint=cls.expected
            )
        if companions.folder is None:
            raise PackageError("the tokenizer of the graph is missing", hint=cls.expected)
        positions = companions.config.get("max_position_embeddings")
        max_length = positions if isinstance(positions, int) and positions > 0 else cls.MAX_TOKENS
        return read_tokenizer(companions.folder, companions.config, max_length=min(max_length, cls.MAX_TOKENS))

    @classmethod
    def adapt_inputs(cls, model: Any) -> None:
        """Cast tokens and mask to the types of the graph."""
        types = {tensor.name: tensor.type.tensor_type.elem_type for tensor in graph_inputs(model)}
        mask, zeros = f"{cls.slot}_mask", f"{cls.slot}_zeros"
        shape = ["batch", "tokens"]
        inner_names = _replace_inputs(model, {cls.slot: (INT64, shape), mask: (BOOL, shape)})
        for name, element_type in types.items():
            source = cls.slot if name in cls.TOKENS else mask if name in cls.MASKS else zeros
            _insert_node(model, "Cast", [source], inner_names[name], to=element_type)
        if types.keys() & cls.TOKEN_TYPES:
            _insert_node(model, "Sub", [cls.slot, cls.slot], zeros)

    @classmethod
    def examples(cls) -> list[str]:
        """Return texts of one word, of some, and of more than the limit."""
        return ["good", "A quiet, moving film.", "It was not good at all. " * cls.MAX_TOKENS]


#: By task.
ADAPTERS: Final[Mapping[str, type[OnnxAdapter]]] = {
    "image_classification": ImageAdapter,
    "text_classification": TextAdapter,
}


def graph_inputs(model: Any) -> list[Any]:
    """Return the inputs without a default value."""
    initialized = {tensor.name for tensor in model.graph.initializer}
    return [tensor for tensor in model.graph.input if tensor.name not in initialized]


def _replace_inputs(model: Any, inputs: Mapping[str, tuple[int, Sequence[Any]]]) -> dict[str, str]:
    """Replace the inputs by `inputs`, name -> element type and shape.

    The old ones become inner tensors, which a node must compute. Returns their new names by the old ones.
    """
    from onnx import helper

    old_names = [tensor.name for tensor in graph_inputs(model)]
    new_names = rename_tensors(model, inputs)
    inner_names = {name: new_names.get(name, name) for name in old_names}
    initialized = [tensor for tensor in model.graph.input if tensor.name not in inner_names.values()]
    tensors = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    del model.graph.input[:]
    model.graph.input.extend([*tensors, *initialized])
    return inner_names


def _insert_node(model: Any, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
    """Insert a node before all others."""
    from onnx import helper

    model.graph.node.insert(0, helper.make_node(operator, inputs, [output], **attributes))


def describe_tensors(tensors: Any) -> str:
    """Return names and shapes as text."""
    descriptions = []
    for tensor in tensors:
        dimensions = tensor.type.tensor_type.shape.dim
        shape = ", ".join(str(dimension.dim_value or dimension.dim_param or "?") for dimension in dimensions)
        descriptions.append(f"{tensor.name} [{shape}]")
    return ", ".join(descriptions) or "none"


def _has_variable_axes(tensor: Any) -> bool:
    """Return whether it is numeric with two axes of any length."""
    tensor_type = tensor.type.tensor_type
    sizes = [dimension.dim_value for dimension in tensor_type.shape.dim]
    return tensor_type.elem_type in (INT32, INT64, BOOL, FLOAT) and len(sizes) == 2 and not any(sizes)


def _check_outputs(model: Any, expected: str) -> None:
    if len(model.graph.output) != 1:
        outputs = describe_tensors(model.graph.output)
        hint = f"`onnx.utils.extract_model` writes a graph with one of them, that of the logits. {expected}"
        raise PackageError(f"the graph must have one output, not {len(model.graph.output)}: {outputs}", hint=hint)
