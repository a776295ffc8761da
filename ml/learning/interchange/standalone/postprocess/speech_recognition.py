"""`logits` [batch, time, letters]: of each real frame the likeliest letter, repetitions joined, then without the blank,
which is 0 (Graves et al. 2006). Letter 1 is an unknown one, and 2 is the first of `config.alphabet` of the target
`text`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

TASKS = ("speech_recognition",)


def answer(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """The text that was said."""
    arrays = model.read("audio", inputs)
    likeliest = model.run("model", arrays)["logits"].argmax(axis=2)
    alphabet = ["", "\N{REPLACEMENT CHARACTER}", *model.told["targets"]["text"]["config"]["alphabet"]]
    answers = []
    for row, length in zip(likeliest, arrays["audio_mask"].sum(axis=1).tolist(), strict=True):
        letters = row[:length]
        first = np.concatenate([letters[:1] != 0, letters[1:] != letters[:-1]])
        answers.append({"text": "".join(alphabet[letter] for letter in letters[first].tolist())})
    return answers
