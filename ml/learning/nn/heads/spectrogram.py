"""From a text's features to how long each letter lasts and what is heard meanwhile.

B batch, L letters, T frames, D width of the text's features, W width in here, F bands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.heads.base import Head, Tensors
from ml.learning.nn.layers.monotonic_alignment import monotonic_alignment
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

PLACES = 6
"""Numbers that say where in its letter a frame is, and how long the letter lasts."""


class SpectrogramConfig(Config):
    """`bands` and `voices` come from the data; 0 voices where nobody says who speaks."""

    bands: int = Field(ge=1)
    voices: int = Field(0, ge=0)
    width: Count = 128
    layers: Count = 4
    kernel: int = Field(5, ge=1, le=31)
    """Frames, or letters, that a convolution sees; odd."""
    dropout: float = Field(0.1, ge=0, lt=1)


class Spectrogram(Head):
    """Durations and frames at once, not one after the other, as in FastSpeech 2 (Ren et al. 2020, arXiv:2006.04558).

    Which frame belongs to which letter is found while training (Glow-TTS, Kim et al. 2020, arXiv:2005.11129): each
    letter guesses one frame, and the alignment is the one under which these guesses are least wrong.
    """

    name = "spectrogram"
    summary = "How long each letter lasts, and what is heard in each of its frames"
    needs = frozenset({Feature.SEQUENCE})
    config_type = SpectrogramConfig
    outputs = ("durations", "sequence", "mel")
    scores = ("mel", "guess", "duration")

    def __init__(self, config: SpectrogramConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, read),) = widths.items()
        self.config = config
        self.letters = nn.Linear(read.sequence, config.width)
        self.voice = nn.Embedding(config.voices, config.width) if config.voices else None
        self.guess = nn.Linear(config.width, config.bands)
        self.duration = nn.Sequential(_Block(config), nn.Linear(config.width, 1))
        self.places = nn.Linear(PLACES, config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.mel = nn.Linear(config.width, config.bands)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Frames `aligned` [B, T, F] with the target's; `guess` [B, L, F], `log_duration` [B, L]."""
        hidden_BLW = self._hidden(features, batch)
        guess_BLF = self.guess(hidden_BLW)
        lasts_BL = self._align(guess_BLF, batch)
        letter_BT = token_of_frame(lasts_BL, batch["audio"].shape[1])
        return {
            "aligned": self._frames(hidden_BLW, letter_BT, lasts_BL, batch["audio_mask"]),
            "guess": guess_BLF.gather(1, letter_BT.unsqueeze(2).expand(-1, -1, guess_BLF.shape[2])),
            "log_duration": self._log_duration(hidden_BLW, batch),
            "lasts": lasts_BL,
        }

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """The sum of the three in `measure`."""
        return torch.stack([*self.measure(outputs, batch).values()]).sum()

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """How far frames and guesses are off, in deviations of a band, and durations, in their logarithm.

        Rows with more letters than frames cannot be aligned and count for nothing.
        """
        fits_B = outputs["lasts"].sum(dim=1) > 0
        heard_BT = batch["audio_mask"] & fits_B[:, None]
        said_BL = batch[f"{self.slot}_mask"] & fits_B[:, None]
        target_BTF = batch["audio"]
        duration = outputs["log_duration"].float() - outputs["lasts"].clamp(min=1).log()
        return {
            "mel": _mean((outputs["aligned"].float() - target_BTF).abs().mean(dim=2), heard_BT),
            "guess": _mean((outputs["guess"].float() - target_BTF).square().mean(dim=2), heard_BT),
            "duration": _mean(duration.square(), said_BL),
        }

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Of a text, `durations` [B, L] in frames and `sequence` [B, L, W]; of these, spread over frames, `mel`.

        The second step reads `sequence`, `lasts` int64 [B, L], `letter` int64 [B, T] and `letter_mask` bool [B, T].
        """
        answer: Tensors = {}
        if features:
            hidden_BLW = self._hidden(features, batch)
            lasts = self._log_duration(hidden_BLW, batch).exp() * batch[f"{self.slot}_mask"]
            answer = {"durations": lasts, "sequence": hidden_BLW}
        if "letter" in batch:
            heard = batch["letter_mask"]
            answer["mel"] = self._frames(batch["sequence"], batch["letter"], batch["lasts"], heard)
        return answer

    def _hidden(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensor:
        hidden_BLW: Tensor = self.letters(features[self.slot][Feature.SEQUENCE][0])
        return hidden_BLW if self.voice is None else hidden_BLW + self.voice(batch["voice"]).unsqueeze(1)

    def _log_duration(self, hidden_BLW: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Learned apart: what a letter lasts must not change what it sounds like."""
        block, linear = self.duration
        log_duration: Tensor = linear(block(hidden_BLW.detach(), batch[f"{self.slot}_mask"])).squeeze(2)
        return log_duration.clamp(max=7)  # A thousand frames; one bad step must not ask for more than memory holds.

    @torch.no_grad()
    def _align(self, guess_BLF: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """int64 [B, L], by the squared difference of every guess to every frame."""
        cost_BLT = torch.cdist(guess_BLF.float(), batch["audio"].float()).square()
        letters, frames = (batch[f"{name}_mask"].sum(dim=1).cpu().numpy() for name in (self.slot, "audio"))
        return torch.from_numpy(monotonic_alignment(cost_BLT.cpu().numpy(), letters, frames)).to(guess_BLF.device)

    def _frames(self, hidden_BLW: Tensor, letter_BT: Tensor, lasts_BL: Tensor, mask_BT: Tensor) -> Tensor:
        hidden_BTW = hidden_BLW.gather(1, letter_BT.unsqueeze(2).expand(-1, -1, hidden_BLW.shape[2]))
        hidden_BTW = hidden_BTW + self.places(_places(letter_BT, lasts_BL))
        for block in self.blocks:
            hidden_BTW = block(hidden_BTW, mask_BT)
        mel: Tensor = self.mel(hidden_BTW)
        return mel


class _Block(nn.Module):
    """A convolution over what is real, beside a way around it."""

    def __init__(self, config: SpectrogramConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.convolution = nn.Conv1d(config.width, config.width, config.kernel, padding=config.kernel // 2)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_BTW: Tensor, mask_BT: Tensor) -> Tensor:
        read_BTW = self.norm(hidden_BTW) * mask_BT.unsqueeze(2)
        heard_BTW = functional.silu(self.convolution(read_BTW.transpose(1, 2)).transpose(1, 2))
        blended: Tensor = hidden_BTW + self.dropout(heard_BTW)
        return blended


def token_of_frame(lasts_BL: Tensor, frames: int) -> Tensor:
    """int64 [B, T]: which letter each frame belongs to; the last one's where all have ended."""
    ends_BL = lasts_BL.cumsum(dim=1)
    places_T = torch.arange(frames, device=lasts_BL.device)
    passed_BT = (ends_BL.unsqueeze(2) <= places_T).sum(dim=1)
    return passed_BT.clamp(max=lasts_BL.shape[1] - 1)


def _places(letter_BT: Tensor, lasts_BL: Tensor) -> Tensor:
    """float32 [B, T, PLACES]: how far into its letter each frame is, from either end, and how long the letter lasts."""
    ends_BT = lasts_BL.cumsum(dim=1).gather(1, letter_BT)
    lasts_BT = lasts_BL.gather(1, letter_BT)
    places_T = torch.arange(letter_BT.shape[1], device=letter_BT.device)
    into_BT = places_T + 1 - (ends_BT - lasts_BT)
    share_BT = into_BT / (lasts_BT + 1)
    angle_BT = share_BT * torch.pi
    return torch.stack(
        [
            share_BT,
            angle_BT.sin(),
            angle_BT.cos(),
            (2 * angle_BT).sin(),
            # ONNX has no logarithm of whole numbers.
            into_BT.clamp(min=1).float().log() / 3,
            lasts_BT.clamp(min=1).float().log() / 3,
        ],
        dim=2,
    ).float()


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)
