"""Audio clips as log-mel frames.

The audio clip is mixed down to one channel, resampled to `rate_hz` and scaled to a peak of 1. Frames of `window`
samples under a periodic Hann window, centered on multiples of `hop`, with silence around the clip, become the power in
`bands` mel bands (2595 log10(1 + hz / 700), triangles whose weights sum to 1; a tone at full scale has 1), its natural
logarithm (of at least 1e-8), normalized by `mean` and `deviation` of each band (with
`normalize_clips` by its mean over the clip instead of `mean`), and rounded to float16. Every
`stride`-th frame is concatenated with its neighbors, `stacked` in all, with the ends repeated: float32
[batch, time, bands x stacked], zero where padded. The mask is bool [batch, time].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ml.audio.spectrum import Framing
from ml.data.files.audio import decode
from ml.data.files.base64_data import from_text
from ml.preprocessing.log_mel_frames import normalize_bands, pad_frames, peak_normalized_log_mel, stack_frames

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

#: Field of an input that a file fills.
FIELD: Final = "audio"


def encode(inputs: list[dict[str, Any]], config: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:  # noqa: ARG001
    """Return `signal`, float32 [batch, time, bands x stacked], and `mask`, bool [batch, time]."""
    framing = Framing(*(config[name] for name in ("rate_hz", "window", "hop", "bands")))
    normalization = {name: config[name] for name in ("mean", "deviation")}
    per_clip = config.get("normalize_clips", False)
    clips = [decode(from_text(raw_input["audio"]) or b"") for raw_input in inputs]
    log_mels = [peak_normalized_log_mel(clip, framing) for clip in clips]
    frames = [normalize_bands(log_mel, **normalization, per_clip=per_clip) for log_mel in log_mels]
    return pad_frames([stack_frames(row, stacked=config["stacked"], stride=config["stride"]) for row in frames])
