"""Inputs and outputs of `/predict` as JSON."""

from collections.abc import Mapping
from typing import Final

from ml.wire.audio import AudioInput
from ml.wire.base import Base64, RawInput, Wire
from ml.wire.image import ImageInput
from ml.wire.items import HistoryInput
from ml.wire.record import RecordInput
from ml.wire.text import LongTextInput, LongTextOutput, TextInput, TextOutput

__all__ = [
    "INPUT_OF",
    "AudioInput",
    "Base64",
    "HistoryInput",
    "ImageInput",
    "LongTextInput",
    "LongTextOutput",
    "RawInput",
    "RecordInput",
    "TextInput",
    "TextOutput",
    "Wire",
]

#: Encoder -> input of a base model that reads with it. A base model returns embeddings only.
INPUT_OF: Final[Mapping[str, type[RawInput]]] = {
    "characters": TextInput,
    "image": ImageInput,
    "items": HistoryInput,
    "log_mel": AudioInput,
    "record": RecordInput,
    "text": LongTextInput,
}
