"""Learn without texts what is missing from a recording.

B batch, T frames, F numbers of a frame, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.objectives.base import Objective
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network


class MaskedAudioConfig(Config):
    """How much is hidden, in pieces of which length."""

    share: float = Field(0.4, gt=0, lt=1)
    """Of the frames, about so many are hidden."""
    span: Count = 6
    """Frames hidden at a stretch: 120 ms with the usual encoder, as long as a syllable's vowel; one frame alone is
    guessed from its neighbours without knowing any speech."""


class MaskedAudio(Objective):
    """Stretches of frames are silenced, and rebuilt from what is around them: Mockingjay."""

    name = "masked_audio"
    summary = "Learn without texts: rebuild hidden stretches of a recording"
    source = "Liu et al. 2020, Mockingjay, arXiv:1910.12638; spans as in wav2vec 2.0, Baevski et al. 2020"
    slots: ClassVar[Mapping[str, Slot]] = {
        "audio": Slot(reads=frozenset({Signal.FRAMES}), needs=frozenset({Feature.SEQUENCE}), default_architecture="rnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"audio": "audio"}
    encoders: ClassVar[Mapping[str, str]] = {"audio": "log_mel"}
    scores = ("explained",)
    config_type = MaskedAudioConfig

    def __init__(self, config: MaskedAudioConfig, network: Network) -> None:
        super().__init__(config, network)
        widths = network.widths["audio"]
        self.rebuild = nn.Linear(widths.sequence, widths.shape["bins"])

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """The mean absolute error over hidden frames, and which share of their variance was explained."""
        frames_BTF, mask_BT = batch["audio"], batch["audio_mask"]
        hidden_BT = self.hidden(mask_BT)
        # Frames are normalised, so a frame of zeros is one that says nothing.
        heard_BTF = frames_BTF.masked_fill(hidden_BT.unsqueeze(2), 0)
        features = self.network.features({**batch, "audio": heard_BTF})["audio"]
        rebuilt_BTF = self.rebuild(features[Feature.SEQUENCE][0]).float()
        wanted = frames_BTF[hidden_BT]
        error = (rebuilt_BTF[hidden_BT] - wanted).square().mean()
        spread = (wanted - wanted.mean(dim=0)).square().mean()
        return {
            "loss": functional.l1_loss(rebuilt_BTF[hidden_BT], wanted),
            "explained": 1 - error / spread.clamp(min=1e-6),
        }

    def hidden(self, mask_BT: Tensor) -> Tensor:
        """bool [B, T]: stretches that begin anywhere among real frames, at least one in each row."""
        config, device = self.config, mask_BT.device
        length = mask_BT.shape[1]
        # So many begin that, some of them overlapping, the share is hidden.
        chance = 1 - (1 - config.share) ** (1 / config.span)
        begins_BT = torch.rand(mask_BT.shape, device=device) < chance
        first_B1 = (torch.rand(len(mask_BT), 1, device=device) * mask_BT.sum(dim=1, keepdim=True)).long()
        begins_BT = begins_BT.scatter(1, first_B1, True)
        spread_BT = functional.max_pool1d(
            functional.pad(begins_BT.float(), (config.span - 1, 0)).unsqueeze(1), config.span, stride=1
        )
        return (spread_BT.squeeze(1)[:, :length] > 0) & mask_BT
