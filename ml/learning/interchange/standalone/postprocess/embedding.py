"""Embeddings of inputs.

`embedding` [batch, width] is a vector that is close to those of similar inputs. Only the first slot is read.
"""

from __future__ import annotations

from typing import Any, Final

TASKS: Final = ("embedding",)


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return the embedding of each input."""
    slot = next(iter(model.metadata["inputs"]))
    graph = "model" if "model" in model.metadata["graphs"] else slot
    return [{"embedding": row} for row in model.run(graph, model.encode(slot, inputs))["embedding"].tolist()]
