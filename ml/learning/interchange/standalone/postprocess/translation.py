"""`encode` reads the text once and gives `memory`. `step` writes, token by token, beginning with the one that the
target's `special` calls begin: it reads `memory`, `text_mask`, the newest `token` of each sequence, int64
[batch, sequences], and their `past`, float32 [batch, sequences, length, width], to which the `entry` of each step is
added; it gives `log_probabilities` of the token that follows. `beams` sequences are followed at a time, one being
greedy; answers/beam_search.py says how they are compared (`length_penalty`) and when a text ends: at the token called
end, or after `max_length` tokens, or 50 more than the source has. Padding, begin and mask are never written. The
target's tokenizer.json makes text of the tokens, special ones left out. `truncated` says that the source was cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ml.generation.beam_search import search

TASKS = ("translation",)
NEEDS = "tokenizers"
WITH = ("ml.generation.beam_search",)
MORE = 50
NEVER = ("padding", "begin", "mask")


def answer(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Each for itself."""
    return [_translated(given, model) for given in inputs]


def _translated(given: dict[str, Any], model: Any) -> dict[str, Any]:
    reader, config = model.told["inputs"]["text"], model.told["task"]["config"]
    # Where both languages have one vocabulary, it is the text's.
    writer = model.told["targets"]["target"]["config"] if model.told["targets"] else reader
    source, target = (_tokenizer(model, about) for about in (reader, writer))
    special = {role: target.token_to_id(name) for role, name in writer["special"].items()}
    read = model.read("text", [given])
    beams = given.get("beams") or config["beams"]
    (found,) = search(
        _Walk(model, read, beams),
        start=special["begin"],
        end=special["end"],
        never=[special[role] for role in NEVER if role in special and special[role] != special["end"]],
        max_lengths=[min(given.get("max_length") or config["max_length"], read["text"].shape[1] + MORE)],
        beams=beams,
        length_penalty=config["length_penalty"],
    )
    cut = len(source.encode(given["text"].strip())) > reader["max_length"]
    return {"text": target.decode(found.tokens, skip_special_tokens=True), "truncated": cut}


def _tokenizer(model: Any, about: dict[str, Any]) -> Any:
    tokenizer: Any = Tokenizer.from_file(str(model.folder(about) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer


class _Walk:
    """One more token of each sequence, and what has to be remembered of it."""

    def __init__(self, model: Any, read: dict[str, np.ndarray], beams: int) -> None:
        self._model = model
        self._source = {"memory": model.run("encode", read)["memory"], "text_mask": read["text_mask"]}
        self._past = np.zeros((1, beams, 0, self._source["memory"].shape[2]), dtype=np.float32)

    def __call__(self, tokens: np.ndarray, *, rows: np.ndarray, beams: np.ndarray) -> np.ndarray:
        past = self._past[rows[:, None], beams]
        found = self._model.run("step", {**self._source, "token": tokens, "past": past})
        self._past = np.concatenate([past, found["entry"][:, :, None]], axis=2)
        odds: np.ndarray = found["log_probabilities"]
        return odds
