"""Translations by beam search.

`encode` reads the text once and returns `memory`. `step` generates token by token, beginning with the token that
`special` of the target names as begin: it reads `memory`, `text_mask`, the newest `token` of each sequence, int64
[batch, sequences], and their `past`, float32 [batch, sequences, length, width], to which `entry` of each step is
appended; it returns `log_probabilities` of the next token. `beams` sequences are followed together; 1 is greedy search.
`runtime/beam_search.py` compares them (`length_penalty`) and decides when a text ends: at the token named as end, or
after `max_length` tokens, or 50 more than the source has. Padding, begin and mask tokens are never generated.
`tokenizer.json` of the target converts the tokens to text, without special tokens. `truncated` says how many
tokens of the source were read, if it was cut.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ml.generation.beam_search import search

TASKS: Final = ("translation",)
#: Tokens that a translation may have more than its source.
MAX_EXTRA_TOKENS: Final = 50
#: Roles of tokens that are never generated.
NEVER: Final = ("padding", "begin", "mask")


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return the translation of each input."""
    return [_predict_one(raw_input, model) for raw_input in inputs]


def _predict_one(raw_input: dict[str, Any], model: Any) -> dict[str, Any]:
    config = model.metadata["task"]["config"]
    # If both languages share one vocabulary, there is no encoder of the target.
    target_slot = "target" if model.metadata["targets"] else "text"
    target = model.preprocessor("text").load_tokenizer(model.folder(target_slot))
    special = {role: target.token_to_id(name) for role, name in model.encoder(target_slot)["config"]["special"].items()}
    arrays = model.encode("text", [raw_input])
    beams = raw_input.get("beams") or config["beams"]
    max_length = min(raw_input.get("max_length") or config["max_length"], arrays["text"].shape[1] + MAX_EXTRA_TOKENS)
    (hypothesis,) = search(
        _Step(model, arrays, beams),
        start=special["begin"],
        end=special["end"],
        never=[special[role] for role in NEVER if role in special and special[role] != special["end"]],
        max_lengths=[max_length],
        beams=beams,
        length_penalty=config["length_penalty"],
    )
    (fields,) = model.truncation("text", [raw_input])
    return {"text": target.decode(hypothesis.tokens, skip_special_tokens=True), **fields}


class _Step:
    """Predicts one more token for every beam, and keeps the cache of keys and values."""

    def __init__(self, model: Any, arrays: dict[str, np.ndarray], beams: int) -> None:
        self._model = model
        self._source = {"memory": model.run("encode", arrays)["memory"], "text_mask": arrays["text_mask"]}
        self._past = np.zeros((1, beams, 0, self._source["memory"].shape[2]), dtype=np.float32)

    def __call__(self, tokens: np.ndarray, *, rows: np.ndarray, beams: np.ndarray) -> np.ndarray:
        past = self._past[rows[:, None], beams]
        outputs = self._model.run("step", {**self._source, "token": tokens, "past": past})
        self._past = np.concatenate([past, outputs["entry"][:, :, None]], axis=2)
        log_probs: np.ndarray = outputs["log_probabilities"]
        return log_probs
