"""The graphs `image` and `text` give `image_embedding` and `text_embedding` [batch, width], of length 1 each: their
product is the similarity of a picture and a text. The softmax over the candidates of similarity times `scale`, an
output of the graph `text`, says which of them it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

TASKS = ("image_text_matching",)


def answer(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """The embedding, and of candidates the best first."""
    return [_answer(each, model) for each in inputs]


def _answer(given: dict[str, Any], model: Any) -> dict[str, Any]:
    has_image = given.get("image") is not None or given.get("pixels") is not None
    texts = given.get("candidates") or ([given["text"]] if has_image and given.get("text") is not None else [])
    if has_image:
        own = model.run("image", model.read("image", [given]))["image_embedding"][0]
    else:
        own = model.run("text", model.read("text", [given]))["text_embedding"][0]
    if not texts:
        return {"embedding": own.tolist(), "scores": None}
    read = model.run("text", model.read("text", [{"text": each} for each in texts]))
    similarity = (read["text_embedding"] * own).sum(axis=1).astype(np.float64)
    order = np.argsort(-similarity, kind="stable").tolist()
    shares = np.exp(read["scale"].reshape(-1)[0] * (similarity[order] - similarity.max()))
    shares /= shares.sum()
    scores = [
        {"text": texts[at], "similarity": float(similarity[at]), "probability": share}
        for at, share in zip(order, shares.tolist(), strict=True)
    ]
    return {"embedding": own.tolist(), "scores": scores}
