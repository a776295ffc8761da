"""Recommended items from logits, and the profile.

`logits` [batch, codes] for the next item: their softmax over the allowed items is the score. Codes 0 and 1 are no
items, and items of the history are excluded unless `config.repeat`. `embedding` [batch, width] is the profile. One of
the `length` positions stays free: only the latest `length` - 2 items are read. A `user` of the training data has the
items of `task/histories.bin` before `history`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ml.preprocessing.item_titles import TITLES, ItemTitles
from ml.preprocessing.user_histories import HISTORIES, UserHistories, complete_history

TASKS: Final = ("recommendation",)
FIRST_ITEM: Final = 2


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return the recommended items of each input, the best first, and the profile."""
    items = model.preprocessor("history").load_items(model.folder("history"))
    codes = {item: code for code, item in enumerate(items, start=FIRST_ITEM)}
    path = model.task_file(HISTORIES)
    users = UserHistories.load(path) if path else None
    path = model.task_file(TITLES)
    titles = ItemTitles.load(path) if path else ItemTitles()
    requests = [_read_history(raw_input, items, users) for raw_input in inputs]
    histories = [[item for item in request if item in codes] for request in requests]
    max_items = model.metadata["inputs"]["history"]["config"]["length"] - 2
    latest = [{"history": history[max(0, len(history) - max_items) :]} for history in histories]
    outputs = model.run("model", model.encode("history", latest))
    is_repeat_allowed = model.metadata["task"]["config"]["repeat"]
    predictions = []
    rows = zip(inputs, requests, histories, outputs["logits"], outputs["embedding"], strict=True)
    for raw_input, request, history, logits, profile in rows:
        excluded = [] if is_repeat_allowed else [codes[item] for item in history]
        ranked = [
            (items[code - FIRST_ITEM], score) for code, score in _rank(logits, excluded, count=raw_input["count"])
        ]
        recommended = [{"item": item, "title": titles.title_of(item), "score": score} for item, score in ranked]
        unknown = len(request) - len(history)
        predictions.append({"items": recommended, "profile": profile.tolist(), "unknown": unknown})
    return predictions


def _read_history(raw_input: dict[str, Any], items: list[str], users: UserHistories | None) -> list[str]:
    user = raw_input.get("user")
    history = raw_input["history"] if user is None else raw_input.get("history", [])
    return complete_history(None if user is None else str(user), [str(item) for item in history], items, users)


def _rank(logits: np.ndarray, excluded: list[int], *, count: int) -> list[tuple[int, float]]:
    """Return code and score of the best items."""
    allowed = logits.astype(np.float32)
    allowed[:FIRST_ITEM] = -np.inf
    allowed[excluded] = -np.inf
    scores = np.exp(allowed - allowed.max())
    scores /= scores.sum()
    count = min(count, int(np.isfinite(allowed).sum()))
    return [(code, float(scores[code])) for code in np.argsort(-allowed, kind="stable")[:count].tolist()]
