"""Transcripts by greedy CTC decoding.

`logits` [batch, time, characters]: the most probable character of each frame, with repetitions joined, then without
the blank, which is 0 (Graves et al. 2006). 1 is an unknown character, and 2 the first of `config.alphabet` of the
target `text`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

TASKS: Final = ("speech_recognition",)


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return the transcript of each audio clip."""
    arrays = model.encode("audio", inputs)
    best = model.run("model", arrays)["logits"].argmax(axis=2)
    alphabet = ["", "\N{REPLACEMENT CHARACTER}", *model.metadata["targets"]["text"]["config"]["alphabet"]]
    predictions = []
    for row, length in zip(best, arrays["audio_mask"].sum(axis=1).tolist(), strict=True):
        codes = row[:length]
        is_first = np.concatenate([codes[:1] != 0, codes[1:] != codes[:-1]])
        predictions.append({"text": "".join(alphabet[code] for code in codes[is_first].tolist())})
    return predictions
