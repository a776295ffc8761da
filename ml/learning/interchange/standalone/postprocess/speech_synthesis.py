"""`durations` reads the letters and gives how many frames each of them lasts, and `sequence`. With several voices it
also reads `voice`, int64 [batch], the place of the voice in `task.state.voices`. Divided by `speed`, shortened to 60
seconds in all, rounded, and at least 1 for each real letter, they are `lasts`, int64 [batch, letters]. `letter`, int64
[batch, frames], repeats the place of each letter as often as it lasts; `letter_mask` is true where a frame is real.
`frames` reads these and gives `mel` [batch, frames, bands]: times `deviation` plus `mean` of the target's config, it is
the natural logarithm of the power in each band. answers/vocoder.py makes a wave of it (Griffin-Lim).
"""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import numpy as np

from ml.audio.spectrum import Framing
from ml.audio.vocoder import griffin_lim

TASKS = ("speech_synthesis",)
NEEDS = ""
WITH = ("ml.audio.spectrum", "ml.audio.vocoder")
LONGEST_SECONDS = 60.0


def answer(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Each for itself: a WAV of 16 bits as base64."""
    return [_spoken(given, model) for given in inputs]


def _spoken(given: dict[str, Any], model: Any) -> dict[str, Any]:
    about, voices = model.told["targets"]["audio"]["config"], model.told["task"]["state"]["voices"]
    framing = Framing(*(about[name] for name in ("rate_hz", "window", "hop", "bands")))
    read = model.read("text", [given])
    if voices:
        read["voice"] = np.array([voices.index(given.get("voice") or voices[0])], dtype=np.int64)
    first = model.run("durations", read)
    durations = np.where(read["text_mask"], first["durations"] / given["speed"], 0)
    most = LONGEST_SECONDS * framing.rate_hz / framing.hop
    durations *= min(1.0, most / max(1.0, durations.sum()))
    lasts = np.rint(durations).clip(min=1).astype(np.int64) * read["text_mask"]
    letter = np.repeat(np.arange(lasts.shape[1]), lasts[0])[None]
    heard = np.ones(letter.shape, dtype=bool)
    spread = {"sequence": first["sequence"], "lasts": lasts, "letter": letter, "letter_mask": heard}
    mel = model.run("frames", spread)["mel"][0].astype(np.float32)
    deviation, mean = (np.array(about[name], dtype=np.float32) for name in ("deviation", "mean"))
    samples = griffin_lim(mel * deviation + mean, framing)
    return {"audio": base64.b64encode(_wav(samples, framing.rate_hz)).decode(), "sample_rate_hz": framing.rate_hz}


def _wav(samples: np.ndarray, rate_hz: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(np.rint(samples.clip(-1, 1) * 32_767).astype("<i2").tobytes())
    return file.getvalue()
