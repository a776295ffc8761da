"""A number from the output of the graph.

`prediction` [batch] is in standard deviations of the target from its mean; `state` of the task has both. An output for
a text that was cut has `truncated`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

TASKS: Final = ("image_regression", "rating_prediction", "tabular_regression", "text_regression")


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return the number of each input."""
    (slot,) = model.metadata["inputs"]
    prediction = model.run("model", model.encode(slot, inputs))["prediction"].astype(np.float64)
    state = model.metadata["task"]["state"]
    values = (prediction * state["deviation"] + state["mean"]).tolist()
    return [{"value": value, **fields} for value, fields in zip(values, model.truncation(slot, inputs), strict=True)]
