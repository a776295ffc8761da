"""Audio from durations and a log-mel spectrogram.

`durations` reads the characters and returns the number of frames of each, and `sequence`. With several voices it
also reads `voice`, int64 [batch], the position of the voice in `task.state.voices`. The durations divided by `speed`,
shortened to 60 seconds in all, rounded, and at least 1 for each character, are `lasts`, int64 [batch, characters].
`letter`, int64 [batch, frames], is the position of the character of each frame; `letter_mask` is true where a frame is
not padding. `frames` reads these and returns `mel` [batch, frames, bands]: times `deviation` plus `mean` of the config
of the target, it is the natural logarithm of the power in each band. `runtime/vocoder.py` converts it to samples
(Griffin-Lim).
"""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np

from ml.audio.spectrum import Framing
from ml.audio.vocoder import griffin_lim
from ml.audio.waveform import Audio
from ml.data.files.audio import encode_wav

TASKS: Final = ("speech_synthesis",)
MAX_SECONDS: Final = 60.0


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return a 16-bit WAV as base64 for each input."""
    return [_predict_one(raw_input, model) for raw_input in inputs]


def _predict_one(raw_input: dict[str, Any], model: Any) -> dict[str, Any]:
    config, voices = model.metadata["targets"]["audio"]["config"], model.metadata["task"]["state"]["voices"]
    framing = Framing(*(config[name] for name in ("rate_hz", "window", "hop", "bands")))
    arrays = model.encode("text", [raw_input])
    if voices:
        arrays["voice"] = np.array([voices.index(raw_input.get("voice") or voices[0])], dtype=np.int64)
    outputs = model.run("durations", arrays)
    durations = np.where(arrays["text_mask"], outputs["durations"] / raw_input["speed"], 0)
    lasts = _round_durations(durations, framing) * arrays["text_mask"]
    letter = np.repeat(np.arange(lasts.shape[1]), lasts[0])[None]
    frames = {"sequence": outputs["sequence"], "lasts": lasts, "letter": letter}
    frames["letter_mask"] = np.ones(letter.shape, dtype=bool)
    mel = model.run("frames", frames)["mel"][0].astype(np.float32)
    deviation, mean = (np.array(config[name], dtype=np.float32) for name in ("deviation", "mean"))
    audio = Audio(griffin_lim(mel * deviation + mean, framing), framing.rate_hz)
    return {"audio": base64.b64encode(encode_wav(audio)).decode(), "sample_rate_hz": framing.rate_hz}


def _round_durations(durations: np.ndarray, framing: Framing) -> np.ndarray:
    """Return whole frames, int64, at least 1 each, of at most about `MAX_SECONDS` in all."""
    max_frames = MAX_SECONDS * framing.rate_hz / framing.hop
    shortened = durations * min(1.0, max_frames / max(1.0, durations.sum()))
    return np.asarray(np.rint(shortened).clip(min=1), dtype=np.int64)
