"""`embedding` [batch, width]: a point among points, alike inputs near each other. The only slot that is read is the
first.
"""

from __future__ import annotations

from typing import Any

TASKS = ("embedding",)


def answer(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """The embedding."""
    slot = next(iter(model.told["inputs"]))
    graph = "model" if "model" in model.told["graphs"] else slot
    return [{"embedding": row} for row in model.run(graph, model.read(slot, inputs))["embedding"].tolist()]
