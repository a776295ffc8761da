"""Recommended items from logits, also new ones by their texts, and the profile.

`text` [new items, tokens] becomes `item_vector` [new items, width], one for each item of `items` that the model does
not know. `model` reads histories, in which a new item is code 0 with its vector in `history_vectors`
[batch, time, width], zeros elsewhere. `logits` [batch, codes] are those of known items; that of a new one is the
product of its vector with `state` [batch, width]. The softmax over all items but codes 0 and 1 and those of the history
(unless `config.repeat`) is the score. A `user` of the training data has the items of `task/histories.bin` before
`history`. `embedding` [batch, width] is the profile. Portraits are not drawn. Titles are in `task/titles.json`.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np

from ml.preprocessing.item_titles import TITLES, ItemTitles
from ml.preprocessing.user_histories import HISTORIES, UserHistories, complete_history

TASKS: Final = ("content_recommendation",)
START, FIRST_ITEM = 1, 2
MAX_TEXT_CHARACTERS: Final = 4000
BLANK: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "\\n", "-", "(no genres listed)"})


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return the recommended items of each input, the best first, and the profile."""
    items = model.preprocessor("history").load_items(model.folder("history"))
    codes = {item: code for code, item in enumerate(items, start=FIRST_ITEM)}
    path = model.task_file(HISTORIES)
    users = UserHistories.load(path) if path else None
    path = model.task_file(TITLES)
    titles = ItemTitles.load(path) if path else ItemTitles()
    return [_predict_one(raw_input, model, items, codes, users, titles) for raw_input in inputs]


def _predict_one(
    raw_input: dict[str, Any],
    model: Any,
    items: list[str],
    codes: dict[str, int],
    users: UserHistories | None,
    titles: ItemTitles,
) -> dict[str, Any]:
    task, max_items = model.metadata["task"], model.metadata["inputs"]["history"]["config"]["length"] - 2
    new = {str(item["item"]): item for item in raw_input.get("items") or [] if str(item["item"]) not in codes}
    names = [*items, *new]
    code_of = {item: code for code, item in enumerate(names, start=FIRST_ITEM)}
    vectors = np.zeros((0, int(task["state"]["width"])), dtype=np.float32)
    if new:
        texts = [{"text": _describe(item, task["state"]["columns"])} for item in new.values()]
        vectors = model.run("text", model.encode("text", texts))["item_vector"]
    user = raw_input.get("user")
    own = [str(item) for item in (raw_input["history"] if user is None else raw_input.get("history", []))]
    request = complete_history(None if user is None else str(user), own, items, users)
    history = [code_of[item] for item in request if item in code_of]
    read = np.array([[START, *history[max(0, len(history) - max_items) :]]], dtype=np.int64)
    first_new = FIRST_ITEM + len(items)
    added = np.zeros((*read.shape, vectors.shape[1]), dtype=np.float32)
    added[read >= first_new] = vectors[read[read >= first_new] - first_new]
    signal = np.where(read >= first_new, 0, read)
    arrays = {"history": signal, "history_mask": np.ones(signal.shape, dtype=bool), "history_vectors": added}
    outputs = {name: values[0] for name, values in model.run("model", arrays).items()}
    logits = np.concatenate([outputs["logits"], vectors @ outputs["state"]])
    excluded = [] if task["config"]["repeat"] else history
    ranked = _rank(logits, excluded, count=raw_input["count"])
    recommended = []
    for code, score in ranked:
        item = names[code - FIRST_ITEM]
        fields = {name: _to_cell(value) for name, value in new.get(item, {}).items() if name != "item"}
        recommended.append({"item": item, "title": titles.title_of(item, fields), "score": score})
    return {
        "items": recommended,
        "profile": outputs["embedding"].tolist(),
        "unknown": len(request) - len(history),
        "portrait": None,
    }


def _describe(item: dict[str, Any], columns: dict[str, Any]) -> str:
    """Return the fields of an item as one text, further ones last."""
    parts = []
    for name in (*columns, *(name for name in item if name not in columns and name != "item")):
        cell = _to_cell(item.get(name)).strip()
        column = columns.get(name, {"kind": "text", "delimiter": None})
        if cell.lower() in BLANK:
            continue
        if column["kind"] == "text":
            parts.append(cell)
            continue
        values = cell.split(column["delimiter"]) if column["kind"] == "categories" and column["delimiter"] else [cell]
        filled = dict.fromkeys(value.strip() for value in values if value.strip().lower() not in BLANK)
        parts.append(f"{name}: {', '.join(filled)}")
    return ". ".join(parts)[:MAX_TEXT_CHARACTERS]


def _to_cell(value: Any) -> str:
    """Return a value of JSON as text; a list becomes its values, divided by bars."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return "|".join(map(_to_cell, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value).strip()


def _rank(logits: np.ndarray, excluded: list[int], *, count: int) -> list[tuple[int, float]]:
    """Return code and score of the best items."""
    allowed = logits.astype(np.float32)
    allowed[:FIRST_ITEM] = -np.inf
    allowed[excluded] = -np.inf
    scores = np.exp(allowed - allowed.max())
    scores /= scores.sum()
    count = min(count, int(np.isfinite(allowed).sum()))
    return [(code, float(scores[code])) for code in np.argsort(-allowed, kind="stable")[:count].tolist()]
