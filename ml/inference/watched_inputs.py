"""Inputs of watched models: how they are stored, and statistics of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.files import images
from ml.errors import Finding
from ml.wire import ImageInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.rows import Row
    from ml.tasks.base import TaskAdapter

#: Tasks whose models can be watched -> canonical column of the input.
WATCHED_TASKS: Final[Mapping[str, str]] = {"image_classification": "image", "text_classification": "text"}


def check_watched(reference: str, task: str | None) -> list[Finding]:
    """Return why a model can neither be watched nor get feedback; empty if it can."""
    if task in WATCHED_TASKS:
        return []
    what = f"does {task}, whose answers have no label and confidence that drift tests read" if task else "is a base"
    message = f"{reference} {what}"
    hint = f"Watch a model of one of these tasks: {', '.join(WATCHED_TASKS)}."
    return [Finding(code="does_not_fit", path="model", message=message, expected=", ".join(WATCHED_TASKS), hint=hint)]


def to_stored_input(adapter: TaskAdapter, raw_input: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input as JSON, the same for all its accepted forms.

    `fields` are those of the request that hold for all of its inputs. Raises `InputError`.
    """
    value = adapter.input_type.of(raw_input, parameters=fields)
    if isinstance(value, ImageInput) and value.image is None:
        value = ImageInput(image=images.encode_png(np.asarray(value.pixels)))
    return value.model_dump(mode="json", exclude_none=True)


def measure_input(row: Row) -> list[float]:
    """Return statistics of the text or image of a row."""
    if "text" in row:
        return _measure_text(row["text"])
    pixels = np.asarray(row["image"], dtype=np.float32)
    height, width, _ = pixels.shape
    edges = [float(np.abs(np.diff(pixels, axis=axis)).mean()) if pixels.shape[axis] > 1 else 0.0 for axis in (0, 1)]
    return [float(pixels.mean()), float(pixels.std()), *edges, float(height), float(width)]


def _measure_text(text: str) -> list[float]:
    words = text.split()
    alphabetic = sum(character.isalpha() for character in text)
    digits = sum(character.isdigit() for character in text)
    length = max(1, len(text))
    return [float(len(text)), float(len(words)), len(text) / max(1, len(words)), alphabetic / length, digits / length]
