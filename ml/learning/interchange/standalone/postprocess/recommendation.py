"""`logits` [batch, codes] for the next item; their softmax over what may be recommended is the score. Codes 0 and 1 are
no items, and items of the history are left out unless `config.repeat`. `embedding` [batch, width] is the profile.
One place of `length` stays free: only the latest `length` - 2 items are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

TASKS = ("recommendation",)
FIRST_ITEM = 2


def answer(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """The best guesses first, and the profile."""
    about = model.told["inputs"]["history"]
    items = model.reader("history").items(model.folder(about))
    code_of = {item: code for code, item in enumerate(items, start=FIRST_ITEM)}
    known = [[str(item) for item in given["history"] if str(item) in code_of] for given in inputs]
    latest = [{"history": each[max(0, len(each) - about["length"] + 2) :]} for each in known]
    found = model.run("model", model.read("history", latest))
    answers = []
    for given, had, logits, profile in zip(inputs, known, found["logits"], found["embedding"], strict=True):
        allowed = logits.astype(np.float32)
        allowed[:FIRST_ITEM] = -np.inf
        if not model.told["task"]["config"]["repeat"]:
            allowed[[code_of[item] for item in had]] = -np.inf
        shares = np.exp(allowed - allowed.max())
        shares /= shares.sum()
        count = min(given["count"], int(np.isfinite(allowed).sum()))
        best = np.argsort(-allowed, kind="stable")[:count].tolist()
        recommended = [{"item": items[code - FIRST_ITEM], "score": float(shares[code])} for code in best]
        unknown = len(given["history"]) - len(had)
        answers.append({"items": recommended, "profile": profile.tolist(), "unknown": unknown})
    return answers
