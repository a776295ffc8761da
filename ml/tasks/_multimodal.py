"""Base class of the tasks that read several parts of a row.

Some parts may be missing.

B batch, S slots.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from ml.audio.waveform import Audio
from ml.config import Config
from ml.data.files import audio, images
from ml.data.rows import Rows, find_missing
from ml.encoders.record import RecordEncoder, detected_kinds
from ml.errors import InputError
from ml.preprocessing import audio_augmentation
from ml.preprocessing import augmentation as image_augmentation
from ml.preprocessing.image_sizes import image_encoder_options
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot
from ml.tasks.base import MODEL, Output, Task
from ml.wire import AudioInput, ImageInput, RecordInput
from ml.wire.multimodal import MultimodalInput
from ml.wire.record import read_record, record_schema

if TYPE_CHECKING:
    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row
    from ml.encoders.base import Column, Encoder

FEATURES: Final = "features"
#: Slot -> field of an input.
FIELDS: Final[Mapping[str, str]] = {"image": "image", "text": "text", "audio": "audio", FEATURES: "record"}
MIN_SLOTS: Final = 2
#: Training rows below which texts are read by whole words.
FEW_ROWS: Final = 2_000
#: Duration of the silence that is encoded for a missing audio clip, long enough for every architecture.
SILENCE_SECONDS: Final = 0.5
SILENCE_HZ: Final = 8_000
PRESENT: Final = "_present"

SlotName = Literal["image", "text", "audio", "features"]
ImageAugmentation = image_augmentation.Augmentation
AudioAugmentation = audio_augmentation.Augmentation


class MultimodalConfig(Config):
    """Parts that are read, and how they are joined."""

    parts: list[SlotName] | None = Field(
        None,
        min_length=MIN_SLOTS,
        description="Parts to read; by default all that the dataset has: image, text, audio, features (the other "
        "columns of the table).",
    )
    fusion: Literal["gated_sum", "transformer"] = Field(
        "gated_sum",
        description="`gated_sum`: sum of the features of all parts, weighted by gates that see all of them. "
        "`transformer`: two layers of attention between the parts.",
    )
    width: int = Field(128, ge=8, le=4096, multiple_of=4, description="Width of the joined features.")
    part_dropout: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="Probability that training hides a part of a row, so that a missing part costs little; one part "
        "always remains.",
    )
    image_augmentation: ImageAugmentation = Field("auto", description=image_augmentation.DESCRIPTION)
    audio_augmentation: AudioAugmentation = Field("auto", description=audio_augmentation.DESCRIPTION)


Dropout = Annotated[
    float, Field(ge=0, lt=1, description="Fraction of joined features that training sets to zero in each step.")
]


def _slot(signal: Signal, architecture: str) -> Slot:
    return Slot(reads=frozenset({signal}), needs=frozenset({Feature.POOLED}), default_architecture=architecture)


class MultimodalTask(Task):
    """Reads an image, a text, an audio clip and measurements, or some of them.

    The instance has the slots of the dataset it learned from; the class has all that are possible. Among the bases of a
    task it precedes the class with the target.
    """

    slots: ClassVar[Mapping[str, Slot]] = {
        "image": _slot(Signal.IMAGE, "cnn"),
        "text": _slot(Signal.TOKENS, "text_cnn"),
        "audio": _slot(Signal.FRAMES, "audio_cnn"),
        FEATURES: _slot(Signal.RECORD, "tabular_mlp"),
    }
    optional_columns: ClassVar[Mapping[str, str]] = {
        "image": "image",
        "text": "text",
        "audio": "audio",
        FEATURES: "record",
    }
    encoded_columns: ClassVar[Mapping[str, str]] = {slot: slot for slot in FIELDS}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image", "text": "text", "audio": "log_mel", FEATURES: "record"}
    input_type = MultimodalInput
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {
        MODEL: tuple(f"{slot}{suffix}" for slot in FIELDS for suffix in ("", "_mask", PRESENT))
    }
    #: The rate suits all backbones; that of a small `cnn` alone is too high for attention.
    recipe = Schedule(
        epochs=20,
        max_steps=2_500,
        batch_size=64,
        optimizer="adamw",
        learning_rate=3e-3,
        weight_decay=0.01,
        decay="one_cycle",
        gradient_clip_norm=1.0,
    )
    #: Column of the target.
    target: ClassVar[str]

    def __init__(self, config: Any, encoders: Mapping[str, Encoder[Any]], state: Mapping[str, Any]) -> None:
        super().__init__(config, encoders, state)
        own = [slot for slot in type(self).slots if slot in encoders]
        # The attributes of the class, for the slots of this model alone.
        vars(self).update(
            slots={slot: type(self).slots[slot] for slot in own},
            encoded_columns={slot: type(self).encoded_columns[slot] for slot in own},
            graphs={MODEL: tuple(f"{slot}{suffix}" for slot in own for suffix in ("", "_mask", PRESENT))},
        )

    @classmethod
    def select_slots(cls, config: Mapping[str, Any], summary: DatasetSummary | None) -> Mapping[str, Slot]:
        """Return the slots whose column the dataset has, or of these the named ones."""
        parts = config.get("parts")
        named = parts if isinstance(parts, list) else list(cls.slots)
        available = cls.slots if summary is None else _filled_columns(summary)
        return {slot: entry for slot, entry in cls.slots.items() if slot in named and slot in available}

    @classmethod
    def check_dataset(cls, summary: DatasetSummary) -> list[str]:
        """Check the target, the row counts, and that there are at least two parts."""
        reasons = super().check_dataset(summary)
        filled = [slot for slot in cls.slots if slot in _filled_columns(summary)]
        if len(filled) < MIN_SLOTS:
            message = f"{cls.name} needs at least two of {', '.join(cls.slots)}; the dataset has "
            reasons.append(message + (", ".join(filled) or "none"))
        return reasons

    @classmethod
    def check_options(cls, config: Mapping[str, Any], summary: DatasetSummary) -> list[str]:
        """Return which named parts the dataset lacks, or that they are too few."""
        parts = config.get("parts")
        filled = _filled_columns(summary)
        named = parts if isinstance(parts, list) else []
        lacking = [f"the dataset has no {part}; it has {', '.join(filled)}" for part in named if part not in filled]
        if named and len(set(named)) < MIN_SLOTS:
            lacking.append(f"parts names {', '.join(named)}; name at least {MIN_SLOTS} different ones")
        return lacking

    @classmethod
    def learn(cls, config: MultimodalConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return what the target needs, and the augmentation."""
        return {
            **super().learn(config, summary, rows),
            "image_augmentation": image_augmentation.resolve(config.image_augmentation, rows=len(rows)),
            "audio_augmentation": audio_augmentation.resolve(config.audio_augmentation, rows=len(rows)),
        }

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Choose as the tasks of one part do."""
        options: dict[str, Mapping[str, Any]] = {"audio": {"stacked": 1, "stride": 1}}
        if "image" in summary.columns:
            options["image"] = image_encoder_options(summary)
        if summary.splits.get("train", 0) < FEW_ROWS:
            options["text"] = {"prefers_words": True}
        if kinds := detected_kinds(summary):
            options[FEATURES] = {"detected_kinds": kinds}
        return options

    @property
    def own_fields(self) -> list[str]:
        """Fields of an input that this model reads."""
        return [FIELDS[slot] for slot in self.slots]

    def input_fields(self) -> Collection[str]:
        """Return the fields of the parts that this model reads."""
        return [*self.own_fields, *(["pixels"] if "image" in self.slots else [])]

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of an input with the parts of this model."""
        schema = self.input_type.model_json_schema()
        fields = self.input_fields()
        properties = {name: entry for name, entry in schema["properties"].items() if name in fields}
        if FEATURES in self.slots:
            properties["record"] = record_schema(self._record_encoder.kinds, self._record_encoder.omitted)
        return {**schema, "properties": properties, "minProperties": 1}

    @property
    def _record_encoder(self) -> RecordEncoder:
        encoder: Any = self.slot_encoders[FEATURES]
        return encoder  # type: ignore[no-any-return]  # the registry knows encoders by name alone

    def example_input(self) -> MultimodalInput:
        """Return an example of all parts that this model reads."""
        fields: dict[str, Any] = {}
        if "image" in self.slots:
            fields["image"] = ImageInput.make_example().image
        if "text" in self.slots:
            fields["text"] = "A quiet, moving film."
        if "audio" in self.slots:
            fields["audio"] = AudioInput.make_example().audio
        if FEATURES in self.slots:
            fields["record"] = self._record_encoder.example()
        return MultimodalInput(**fields)

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return the parts; a missing one is None. Raises `InputError`."""
        request = self.input_type.of(raw_input, parameters=parameters)
        is_row = isinstance(raw_input, MultimodalInput)
        foreign = [part for part in request.parts if part not in self.own_fields]
        if foreign and not is_row:
            message = f"this model reads {', '.join(self.own_fields)}; it has no {foreign[0]}"
            raise InputError(message, field=foreign[0], hint="Leave it out, or train a model that reads it.")
        row = {slot: self._read_part(slot, request, is_row=is_row) for slot in self.slots}
        if all(value is None for value in row.values()):
            hint = f"Its fields: {', '.join(self.own_fields)}."
            raise InputError(f"an input has at least one of {', '.join(self.own_fields)}", hint=hint)
        return row

    def _read_part(self, slot: str, request: MultimodalInput, *, is_row: bool) -> Any:
        """Return the value of one part for a row; None if it is missing."""
        if FIELDS[slot] not in request.parts:
            return None
        if slot == "image":
            return ImageInput(image=request.image, pixels=request.pixels).raw()
        if slot == "audio":
            assert request.audio is not None
            return AudioInput(audio=request.audio).raw()
        if slot == "text":
            assert request.text is not None
            return request.text.strip()
        record: Any = RecordInput.model_validate(request.record) if is_row else request.record
        try:
            encoder = self._record_encoder
            return read_record(record, encoder.kinds, parameters={}, omitted=encoder.omitted) or None
        except InputError as error:
            raise error.with_paths(lambda path: f"record.{path}".rstrip(".")) from None

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[MultimodalInput, Any]:
        """Return the parts that the row has as an input, and the target."""
        image, clip, record = row.get("image"), row.get("audio"), row.get(FEATURES)
        fields: dict[str, Any] = {
            "image": None if image is None else images.encode_png(image),
            "text": row.get("text"),
            "audio": None if clip is None else audio.encode_wav(clip),
            "record": record or None,
        }
        return MultimodalInput(**{name: value for name, value in fields.items() if value}), row.get(cls.target)

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Encode the parts and the target; for a missing part, a blank value.

        `{slot}_present`, bool [N], says which rows have it.
        """
        columns: dict[str, Any] = dict(rows.columns)
        present: dict[str, Column] = {}
        for slot, column in self.encoded_columns.items():
            values = columns.get(column, [None] * len(rows))
            is_missing = find_missing(values)
            present[f"{slot}{PRESENT}"] = ~is_missing
            if is_missing.any():
                blank = _blank(slot)
                columns[column] = [blank if value is None else value for value in values]
        return {**super().encode(Rows(columns)), **present}

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Vary images and audio clips, and hide some parts of each row."""
        varied = dict(columns)
        if "image" in self.slots:
            strength = self.state.get("image_augmentation", "off")
            varied["image"] = image_augmentation.augment(np.asarray(columns["image"]), generator, strength=strength)
        if "audio" in self.slots:
            strength = self.state.get("audio_augmentation", "off")
            varied["audio"] = audio_augmentation.augment(columns["audio"], generator, strength=strength)
        present_BS = np.stack([np.asarray(columns[f"{slot}{PRESENT}"]) for slot in self.slots], axis=1)
        for slot, remaining in zip(self.slots, self._hide_parts(present_BS, generator).T, strict=True):
            varied[f"{slot}{PRESENT}"] = remaining
        return varied

    def _hide_parts(self, present_BS: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        draws_BS = generator.random(present_BS.shape) * present_BS
        # The largest draw is never hidden, so that a row keeps a part.
        is_last = draws_BS == draws_BS.max(axis=1, keepdims=True)
        return np.asarray(present_BS & ((draws_BS >= self.config.part_dropout) | is_last))

    def rows_by_part(self, columns: Mapping[str, Column]) -> Iterator[tuple[int, str, np.ndarray]]:
        """Yield index, name and rows of every slot that some row has.

        The rows are positions, int64.
        """
        for index, slot in enumerate(self.slots):
            rows = np.flatnonzero(np.asarray(columns[f"{slot}{PRESENT}"]))
            if len(rows):
                yield index, slot, rows

    def needs_split(self, row: Row) -> bool:
        """Return whether the text is very long."""
        return row.get("text") is not None and super().needs_split(row)

    def split(self, row: Row) -> list[Row]:
        """Return the row, with a very long text tokenized."""
        return super().split(row) if row.get("text") is not None else [row]

    def truncation(self, rows: Rows, columns: Mapping[str, Column]) -> dict[int, Output]:
        """Return by row how much of its text was read, if it was cut."""
        if "text" not in self.slots or "text" not in rows.columns:
            return {}
        truncate = self.slot_encoders["text"].truncation
        fields = {
            row: truncate(text, codes)
            for row, (text, codes) in enumerate(zip(rows.columns["text"], columns["text"], strict=True))
            if text is not None
        }
        return {row: own_fields for row, own_fields in fields.items() if own_fields}


def _filled_columns(summary: DatasetSummary) -> list[str]:
    """Return the columns of a dataset that at least one row has a value in."""
    rows = sum(summary.splits.values())
    return [column for column in summary.columns if not rows or summary.count_missing(column) < rows]


def _blank(slot: str) -> Any:
    """Return the value that is encoded for a missing part."""
    if slot == "image":
        return np.zeros((1, 1, 1), dtype=np.uint8)
    if slot == "audio":
        return Audio(np.zeros(int(SILENCE_SECONDS * SILENCE_HZ), dtype=np.float32), SILENCE_HZ)
    return "" if slot == "text" else {}
