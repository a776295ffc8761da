"""Embeddings of inputs.

`embedding` [batch, width] is a vector that is close to those of similar inputs. Only the first slot is read. An output
for a text that was cut has `truncated`.
"""

from __future__ import annotations

from typing import Any, Final

TASKS: Final = ("embedding",)


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return the embedding of each input."""
    slot = next(iter(model.metadata["inputs"]))
    graph = "model" if "model" in model.metadata["graphs"] else slot
    embeddings = model.run(graph, model.encode(slot, inputs))["embedding"].tolist()
    return [
        {"embedding": row, **fields} for row, fields in zip(embeddings, model.truncation(slot, inputs), strict=True)
    ]
