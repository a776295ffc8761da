"""What `/predict` answers, as bytes: the ordinary route and the short way write it alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.serving.model_pool import ServedVersion


def prediction_json(served: ServedVersion, outputs: Sequence[dict[str, Any]]) -> bytes:
    """`Prediction` as JSON."""
    return orjson.dumps(
        {"model": served.name, "version": served.version, "task": served.task, "outputs": list(outputs)}
    )
