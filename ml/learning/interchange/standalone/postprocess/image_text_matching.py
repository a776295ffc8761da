"""Embeddings of images and texts, and scores of candidates.

The graphs `image` and `text` return `image_embedding` and `text_embedding` [batch, width], of length 1: their scalar
product is the similarity of an image and a text. The softmax over the candidates of similarity times `scale`, an output
of the graph `text`, is the probability of each candidate. A text that was cut has `truncated`, with the tokens read.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

TASKS: Final = ("image_text_matching",)


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return the embedding of each input, and the scores of its candidates, the best first."""
    return [_predict_one(raw_input, model) for raw_input in inputs]


def _predict_one(raw_input: dict[str, Any], model: Any) -> dict[str, Any]:
    has_image = raw_input.get("image") is not None or raw_input.get("pixels") is not None
    texts = raw_input.get("candidates") or []
    if has_image and not texts and raw_input.get("text") is not None:
        texts = [raw_input["text"]]
    slot = "image" if has_image else "text"
    embedding = model.run(slot, model.encode(slot, [raw_input]))[f"{slot}_embedding"][0]
    (fields,) = model.truncation(slot, [raw_input])
    if not texts:
        return {"embedding": embedding.tolist(), "scores": None, **fields}
    candidates = [{"text": text} for text in texts]
    outputs = model.run("text", model.encode("text", candidates))
    truncation = model.truncation("text", candidates)
    similarity = (outputs["text_embedding"] * embedding).sum(axis=1).astype(np.float64)
    order = np.argsort(-similarity, kind="stable").tolist()
    probabilities = np.exp(outputs["scale"].reshape(-1)[0] * (similarity[order] - similarity.max()))
    probabilities /= probabilities.sum()
    scores = [
        {"text": texts[index], "similarity": float(similarity[index]), "probability": probability, **truncation[index]}
        for index, probability in zip(order, probabilities.tolist(), strict=True)
    ]
    return {"embedding": embedding.tolist(), "scores": scores, **fields}
