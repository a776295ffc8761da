"""Recurrent networks: one step after the other, with a memory that gates guard.

B batch, T time, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, BackboneState, Features, Widths
from ml.learning.nn.layers.causal_mask import last_position
from ml.learning.nn.layers.input_embedding import InputEmbedding
from ml.learning.nn.layers.masking import maximum, reverse_sequences, to_mask, zero_masked
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


class RNNConfig(Config):
    """`width` is that of the features; each of two directions has half of it."""

    cell: Literal["lstm", "gru"] = "lstm"
    width: Count = 128
    layers: Count | None = None
    """Absent: 1 over tokens; 2 over frames, of which the first hears what the second spells."""
    directions: Literal["both", "forward"] = "both"
    """Forward alone where a task must not see the future."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Of what each layer reads, and of what the last one gives. Absent: 0.3 of tokens, whose words are learned by
    heart; 0.1 of frames, of which none is like another."""

    @model_validator(mode="after")
    def _halves(self) -> Self:
        if self.directions == "both" and self.width % 2:
            raise ValueError("two directions need an even width")
        return self


class RNN(Backbone):
    """Layers of LSTM or GRU, in one direction or in both.

    Pooled is the largest of each channel over time (Collobert & Weston 2008); or the last state, which is all that has
    seen all, where the future is hidden.
    """

    name = "rnn"
    summary = "Recurrent network, LSTM or GRU; small, for short texts and for sound"
    source = (
        "Hochreiter & Schmidhuber 1997, Long short-term memory; Cho et al. 2014, arXiv:1406.1078 (GRU); "
        "Schuster & Paliwal 1997 (both directions)"
    )
    accepts = frozenset({Signal.TOKENS, Signal.FRAMES})
    provides = frozenset({Feature.POOLED, Feature.SEQUENCE, Feature.CAUSAL})
    config_type = RNNConfig
    recipe = Schedule(
        epochs=8,
        batch_size=32,
        optimizer="adamw",
        learning_rate=2e-3,
        weight_decay=0.01,
        decay="cosine",
        warmup_fraction=0.1,
        gradient_clip_norm=1.0,
    )
    usual_shape: ClassVar[Mapping[str, int]] = {"vocabulary": 8192, "length": 128}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"width": 128},
        "medium": {"width": 512, "layers": 2},
        "gru": {"width": 128, "cell": "gru"},
    }

    def __init__(self, config: RNNConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        self.causal = config.directions == "forward"
        self.reader = InputEmbedding(shape, config.width, causal=self.causal)
        usual_dropout, usual_layers = (0.3, 1) if "vocabulary" in shape else (0.1, 2)
        self.dropout = nn.Dropout(usual_dropout if config.dropout is None else config.dropout)
        layers = config.layers or usual_layers
        size = config.width if self.causal else config.width // 2
        cell = nn.LSTM if config.cell == "lstm" else nn.GRU
        self.ahead = nn.ModuleList(_remembering(cell(config.width, size, batch_first=True)) for _ in range(layers))
        self.back = nn.ModuleList(
            _remembering(cell(config.width, size, batch_first=True)) for _ in range(0 if self.causal else layers)
        )
        width, kept = config.width, 2 if config.cell == "lstm" else 1
        self.widths = Widths(
            shape=shape,
            pooled=width,
            sequence=width,
            causal=width if self.causal else 0,
            state=kept * width * layers if self.causal and self.reader.table is not None else 0,
        )

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Every state of the last layer; `CAUSAL` only where it reads forward alone."""
        mask_BT = to_mask(signal, mask)
        sequence_BTD = self.reader(signal, mask_BT)
        for layer, ahead in enumerate(self.ahead):
            read_BTD = self.dropout(sequence_BTD)
            ways = [ahead(read_BTD)[0]]
            if not self.causal:
                ways.append(reverse_sequences(self.back[layer](reverse_sequences(read_BTD, mask_BT))[0], mask_BT))
            sequence_BTD = torch.cat(ways, dim=2)
        return self._features(self.dropout(sequence_BTD), mask_BT)

    def resume(self, signal: Tensor, mask: Tensor, state: BackboneState) -> tuple[Features, BackboneState]:
        """Remembers the last state of every layer as one place. Of tokens: frames are read with their neighbours."""
        # Zeros go before, so that there is a last place where nothing was read yet.
        start_BK = functional.pad(state.memory * state.mask.unsqueeze(2), (0, 0, 1, 0))[:, -1]
        sequence_BTD, ends = self.reader(signal, mask), []
        for layer, start in zip(self.ahead, start_BK.chunk(len(self.ahead), dim=1), strict=True):
            read_BTD = self.dropout(sequence_BTD)
            sequence_BTD, end_BK = _continued(layer, read_BTD, mask, start)
            ends.append(end_BK)
        memory = BackboneState(torch.cat(ends, dim=1).unsqueeze(1), torch.ones_like(mask[:, :1]))
        return self._features(self.dropout(sequence_BTD), mask), memory

    def _features(self, sequence_BTD: Tensor, mask_BT: Tensor) -> Features:
        quiet_BTD = zero_masked(sequence_BTD, mask_BT)
        if self.causal:
            last_BD = last_position(sequence_BTD, mask_BT)
            return {Feature.POOLED: (last_BD,), Feature.SEQUENCE: (quiet_BTD,), Feature.CAUSAL: (quiet_BTD,)}
        return {Feature.POOLED: (maximum(sequence_BTD, mask_BT),), Feature.SEQUENCE: (quiet_BTD,)}

    def table(self) -> Tensor | None:
        """What each token is read as, where tokens are read."""
        return self.reader.table.weight if self.reader.table is not None else None

    @classmethod
    def adapted(cls, config: Config, needs: frozenset[Feature]) -> Config:
        """One direction where the future must stay unseen."""
        return config.model_copy(update={"directions": "forward"}) if Feature.CAUSAL in needs else config

    @classmethod
    def tiny(cls) -> RNNConfig:
        """Two layers in both directions."""
        return RNNConfig(width=8, layers=2, dropout=0.1)


def _continued(layer: nn.Module, read_BTD: Tensor, mask_BT: Tensor, start_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Every state from a given one on, and what there is to remember at the end of what is real."""
    if not isinstance(layer, nn.LSTM):
        states_BTD = layer(read_BTD, start_BK.unsqueeze(0).contiguous())[0]
        return states_BTD, _end(start_BK, states_BTD, mask_BT)
    state_BD, cell_BD = start_BK.chunk(2, dim=1)
    states_BTD = layer(read_BTD, (state_BD.unsqueeze(0).contiguous(), cell_BD.unsqueeze(0).contiguous()))[0]
    # The library tells the cell's content only after the last step, padding included. But all gates follow from the
    # states, and given the gates each content is a weighted sum of what was written, in which padding weighs nothing.
    before_BTD = torch.cat([state_BD.unsqueeze(1), states_BTD[:, :-1]], dim=1)
    of_read, of_state, bias_of_read, bias_of_state = layer.all_weights[0]
    gates = functional.linear(read_BTD, of_read, bias_of_read) + functional.linear(before_BTD, of_state, bias_of_state)
    write, keep, content, _ = gates.chunk(4, dim=2)
    kept_BTD = zero_masked(functional.logsigmoid(keep), mask_BT)
    kept_since_BTD = kept_BTD.flip(1).cumsum(dim=1).flip(1)
    written_BTD = zero_masked(write.sigmoid() * content.tanh() * (kept_since_BTD - kept_BTD).exp(), mask_BT)
    end_BD = cell_BD * kept_since_BTD[:, 0].exp() + written_BTD.sum(dim=1)
    return states_BTD, torch.cat([_end(state_BD, states_BTD, mask_BT), end_BD], dim=1)


def _end(start_BD: Tensor, states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    count_B11 = mask_BT.sum(dim=1)[:, None, None]
    states = torch.cat([start_BD.unsqueeze(1), states_BTD], dim=1)
    return states.gather(1, count_B11.expand(-1, 1, states.shape[2])).squeeze(1)


def _remembering(cell: nn.RNNBase) -> nn.RNNBase:
    # Gates of an LSTM that start open remember from the first step on (Jozefowicz et al. 2015, section 2.2).
    for name, each in cell.named_parameters():
        if "weight_hh" in name:
            for gate in each.chunk(len(each) // cell.hidden_size):
                nn.init.orthogonal_(gate)
        elif "weight_ih" in name:
            nn.init.xavier_uniform_(each)
        else:
            nn.init.zeros_(each)
            if isinstance(cell, nn.LSTM) and "bias_ih" in name:
                nn.init.ones_(each[cell.hidden_size : 2 * cell.hidden_size])
    return cell
