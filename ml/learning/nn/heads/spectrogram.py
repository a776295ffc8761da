"""Spectrogram head: the duration of each character and the mel spectrogram of a spoken text.

B batch, L characters, T frames, D width of the text features, W width of this head, F mel bands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.batch_parts import divisor
from ml.learning.nn.heads.base import Head, Tensors
from ml.learning.nn.layers.monotonic_alignment import monotonic_alignment
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

#: Numbers that encode the position of a frame in its character, and the duration of the character.
POSITION_FEATURES: Final = 6

#: Limit of the predicted logarithm, about a thousand frames: one bad step must not request more memory than there is.
MAX_LOG_DURATION: Final = 7


class SpectrogramConfig(Config):
    """Sizes of the spectrogram head. The numbers of bands and voices come from the data."""

    bands: int = Field(ge=1, description="Mel bands.")
    voices: int = Field(0, ge=0, description="Speakers; 0 if the data does not name them.")
    width: Count = 128
    layers: Count = 4
    kernel: int = Field(5, ge=1, le=31, description="Odd kernel size of the convolutions, in frames or characters.")
    dropout: float = Field(0.1, ge=0, lt=1)


class Spectrogram(Head):
    """Parallel prediction of durations and frames, as in FastSpeech 2 (Ren et al. 2020, arXiv:2006.04558).

    The alignment of frames with characters is learned in training (Glow-TTS, Kim et al. 2020, arXiv:2005.11129): each
    character predicts one frame, and the alignment is the one with the least error of these predictions.
    """

    name = "spectrogram"
    summary = "Duration of each character, and the mel spectrogram"
    needs = frozenset({Feature.SEQUENCE})
    config_type = SpectrogramConfig
    outputs = ("durations", "sequence", "mel")
    scores = ("mel", "guess", "duration")

    def __init__(self, config: SpectrogramConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, backbone),) = widths.items()
        self.config = config
        self.letters = nn.Linear(backbone.sequence, config.width)
        self.voice = nn.Embedding(config.voices, config.width) if config.voices else None
        self.guess = nn.Linear(config.width, config.bands)
        self.duration = nn.Sequential(_Block(config), nn.Linear(config.width, 1))
        self.places = nn.Linear(POSITION_FEATURES, config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.mel = nn.Linear(config.width, config.bands)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Align the target and predict its frames.

        Returns `aligned` [B, T, F], the frames; `guess` [B, T, F], the prediction of the character of each frame;
        `log_duration` [B, L]; and `durations` int64 [B, L], those of the alignment.
        """
        hidden_BLW = self._encode_text(features, batch)
        guess_BLF = self.guess(hidden_BLW)
        durations_BL = self._align(guess_BLF, batch)
        character_BT = character_of_frame(durations_BL, batch["audio"].shape[1])
        return {
            "aligned": self._decode_frames(hidden_BLW, character_BT, durations_BL, batch["audio_mask"]),
            "guess": guess_BLF.gather(1, character_BT.unsqueeze(2).expand(-1, -1, guess_BLF.shape[2])),
            "log_duration": self._log_duration(hidden_BLW, batch),
            "durations": durations_BL,
        }

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the sum of the three errors of `measure`."""
        return torch.stack([*self.measure(outputs, batch).values()]).sum()

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the errors of frames, guesses and log durations.

        Those of frames and guesses are in standard deviations of a band. Rows with more characters than frames cannot
        be aligned and do not count.
        """
        is_aligned_B = outputs["durations"].sum(dim=1) > 0
        frame_mask_BT = batch["audio_mask"] & is_aligned_B[:, None]
        character_mask_BL = batch[f"{self.slot}_mask"] & is_aligned_B[:, None]
        target_BTF = batch["audio"]
        duration_error_BL = outputs["log_duration"].float() - outputs["durations"].clamp(min=1).log()
        return {
            "mel": _masked_mean((outputs["aligned"].float() - target_BTF).abs().mean(dim=2), frame_mask_BT),
            "guess": _masked_mean((outputs["guess"].float() - target_BTF).square().mean(dim=2), frame_mask_BT),
            "duration": _masked_mean(duration_error_BL.square(), character_mask_BL),
        }

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Predict durations from a text, or frames from durations.

        From the features of a text it returns `durations` [B, L] in frames and `sequence` [B, L, W]. From `sequence`,
        `lasts` int64 [B, L] (the rounded durations), `letter` int64 [B, T] (the character of each frame) and
        `letter_mask` bool [B, T] it returns `mel` [B, T, F].
        """
        outputs: Tensors = {}
        if features:
            hidden_BLW = self._encode_text(features, batch)
            durations_BL = self._log_duration(hidden_BLW, batch).exp() * batch[f"{self.slot}_mask"]
            outputs = {"durations": durations_BL, "sequence": hidden_BLW}
        if "letter" in batch:
            outputs["mel"] = self._decode_frames(
                batch["sequence"], batch["letter"], batch["lasts"], batch["letter_mask"]
            )
        return outputs

    def _encode_text(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensor:
        hidden_BLW: Tensor = self.letters(features[self.slot][Feature.SEQUENCE][0])
        return hidden_BLW if self.voice is None else hidden_BLW + self.voice(batch["voice"]).unsqueeze(1)

    def _log_duration(self, hidden_BLW: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Predict log durations, [B, L].

        Their gradient does not reach the text features: learning durations must not change the sound.
        """
        block, linear = self.duration
        log_duration: Tensor = linear(block(hidden_BLW.detach(), batch[f"{self.slot}_mask"])).squeeze(2)
        return log_duration.clamp(max=MAX_LOG_DURATION)

    @torch.no_grad()
    def _align(self, guess_BLF: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return durations, int64 [B, L], by the squared error of each guess at each frame."""
        cost_BLT = torch.cdist(guess_BLF.float(), batch["audio"].float()).square()
        characters, frames = (batch[f"{name}_mask"].sum(dim=1).cpu().numpy() for name in (self.slot, "audio"))
        return torch.from_numpy(monotonic_alignment(cost_BLT.cpu().numpy(), characters, frames)).to(guess_BLF.device)

    def _decode_frames(self, hidden_BLW: Tensor, character_BT: Tensor, durations_BL: Tensor, mask_BT: Tensor) -> Tensor:
        hidden_BTW = hidden_BLW.gather(1, character_BT.unsqueeze(2).expand(-1, -1, hidden_BLW.shape[2]))
        hidden_BTW = hidden_BTW + self.places(_position_features(character_BT, durations_BL))
        for block in self.blocks:
            hidden_BTW = block(hidden_BTW, mask_BT)
        mel: Tensor = self.mel(hidden_BTW)
        return mel


class _Block(nn.Module):
    """Residual block of a normalized, masked convolution."""

    def __init__(self, config: SpectrogramConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.convolution = nn.Conv1d(config.width, config.width, config.kernel, padding=config.kernel // 2)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_BTW: Tensor, mask_BT: Tensor) -> Tensor:
        input_BTW = self.norm(hidden_BTW) * mask_BT.unsqueeze(2)
        output_BTW = functional.silu(self.convolution(input_BTW.transpose(1, 2)).transpose(1, 2))
        residual: Tensor = hidden_BTW + self.dropout(output_BTW)
        return residual


def character_of_frame(durations_BL: Tensor, frames: int) -> Tensor:
    """Return the index of the character of each frame, int64 [B, T].

    Frames after the end of all characters belong to the last one.
    """
    ends_BL = durations_BL.cumsum(dim=1)
    frames_T = torch.arange(frames, device=durations_BL.device)
    ended_BT = (ends_BL.unsqueeze(2) <= frames_T).sum(dim=1)
    return ended_BT.clamp(max=durations_BL.shape[1] - 1)


def _position_features(character_BT: Tensor, durations_BL: Tensor) -> Tensor:
    """Encode the position of each frame in its character and the duration of the character.

    Returns float32 [B, T, POSITION_FEATURES].
    """
    ends_BT = durations_BL.cumsum(dim=1).gather(1, character_BT)
    durations_BT = durations_BL.gather(1, character_BT)
    frames_T = torch.arange(character_BT.shape[1], device=character_BT.device)
    offset_BT = frames_T + 1 - (ends_BT - durations_BT)
    fraction_BT = offset_BT / (durations_BT + 1)
    angle_BT = fraction_BT * torch.pi
    return torch.stack(
        [
            fraction_BT,
            angle_BT.sin(),
            angle_BT.cos(),
            (2 * angle_BT).sin(),
            # ONNX has no logarithm of integers.
            offset_BT.clamp(min=1).float().log() / 3,
            durations_BT.clamp(min=1).float().log() / 3,
        ],
        dim=2,
    ).float()


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / divisor(mask.sum())
