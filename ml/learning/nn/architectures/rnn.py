"""Recurrent networks: LSTM and GRU, in one direction or both.

B batch, T time, D width, K numbers of the state of a layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, BackboneState, Features, Widths
from ml.learning.nn.layers.causal_mask import last_position
from ml.learning.nn.layers.input_embedding import InputEmbedding
from ml.learning.nn.layers.masking import masked_max, reverse_sequences, to_mask, zero_masked
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

#: Name of the linear layer of a cell whose state has another width than its features.
_PROJECTION: Final = "projection"


class RNNConfig(Config):
    """Cell, sizes and directions of the network."""

    cell: Literal["lstm", "gru"] = "lstm"
    width: Count = Field(128, description="Width of the features; each of two directions has half of it.")
    layers: Count | None = Field(
        None,
        description="Number of layers; by default 1 for tokens, and 2 for frames, of which the first recognizes sounds "
        "and the second spells them.",
    )
    directions: Literal["both", "forward"] = Field(
        "both", description="`forward` is causal; set for tasks that require it."
    )
    state_width: Count | None = Field(
        None,
        description="Width of the state in each direction of a layer, which a linear layer then projects to that of "
        "its features. By default the state is what the features are, without a projection; nested sizes have one.",
    )
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Dropout on the input of each layer and on the output of the last. By default 0.3 for tokens, "
        "which are easily memorized, and 0.1 for frames, which never repeat.",
    )

    @model_validator(mode="after")
    def _check_width(self) -> Self:
        if self.directions == "both" and self.width % 2:
            raise ValueError(f"width is {self.width}, and two directions halve it; choose an even width")
        return self


class RNN(Backbone):
    """Layers of LSTM or GRU, in one direction or both.

    Pooled is the maximum of each channel over time (Collobert & Weston 2008); in one direction it is the last state,
    the only one that depends on the whole input.
    """

    name = "rnn"
    summary = "Recurrent network, LSTM or GRU; small, for short texts and audio"
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
    prunable = ("state_width",)
    appends_state = False
    gated = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
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
        default_dropout, default_layers = (0.3, 1) if "vocabulary" in shape else (0.1, 2)
        self.dropout = nn.Dropout(default_dropout if config.dropout is None else config.dropout)
        layers = config.layers or default_layers
        size = _direction_width(config)
        self.ahead = nn.ModuleList(_make_cell(config, size) for _ in range(layers))
        self.back = nn.ModuleList(_make_cell(config, size) for _ in range(0 if self.causal else layers))
        width, vectors = config.width, 2 if config.cell == "lstm" else 1
        self.widths = Widths(
            shape=shape,
            pooled=width,
            sequence=width,
            causal=width if self.causal else 0,
            state=((vectors * (config.state_width or size) * layers,),)
            if self.causal and self.reader.table is not None
            else (),
        )

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return the states of the last layer; `CAUSAL` only in one direction."""
        mask_BT = to_mask(signal, mask)
        sequence_BTD = self.reader(signal, mask_BT)
        for layer, ahead in enumerate(self.ahead):
            input_BTD = self.dropout(sequence_BTD)
            outputs = [_project(ahead, ahead(input_BTD)[0])]
            if not self.causal:
                back = self.back[layer]
                backward_BTD = _project(back, back(reverse_sequences(input_BTD, mask_BT))[0])
                outputs.append(reverse_sequences(backward_BTD, mask_BT))
            sequence_BTD = torch.cat(outputs, dim=2)
        return self._to_features(self.dropout(sequence_BTD), mask_BT)

    def resume(self, signal: Tensor, mask: Tensor, state: BackboneState) -> tuple[Features, BackboneState]:
        """Continue from the last state of every layer, a memory of length one.

        For tokens only: the embedding of a frame depends on its neighbors.
        """
        # Zeros in front, so that an empty memory has a last position too.
        start_BK = functional.pad(state.parts[0] * state.mask.unsqueeze(2), (0, 0, 1, 0))[:, -1]
        sequence_BTD, ends = self.reader(signal, mask), []
        for layer, layer_start_BK in zip(self.ahead, start_BK.chunk(len(self.ahead), dim=1), strict=True):
            input_BTD = self.dropout(sequence_BTD)
            hidden_BTD, end_BK = _run_from_state(layer, input_BTD, mask, layer_start_BK)
            sequence_BTD = _project(layer, hidden_BTD)
            ends.append(end_BK)
        next_state = BackboneState((torch.cat(ends, dim=1).unsqueeze(1),), torch.ones_like(mask[:, :1]))
        return self._to_features(self.dropout(sequence_BTD), mask), next_state

    def _to_features(self, sequence_BTD: Tensor, mask_BT: Tensor) -> Features:
        masked_BTD = zero_masked(sequence_BTD, mask_BT)
        if self.causal:
            last_BD = last_position(sequence_BTD, mask_BT)
            return {Feature.POOLED: (last_BD,), Feature.SEQUENCE: (masked_BTD,), Feature.CAUSAL: (masked_BTD,)}
        return {Feature.POOLED: (masked_max(sequence_BTD, mask_BT),), Feature.SEQUENCE: (masked_BTD,)}

    def token_embedding(self) -> Tensor | None:
        """Return the token embedding; None for frames."""
        return self.reader.table.weight if self.reader.table is not None else None

    @classmethod
    def adapt_config(cls, config: Config, needs: frozenset[Feature]) -> Config:
        """Use one direction if a slot needs causal features."""
        return config.model_copy(update={"directions": "forward"}) if Feature.CAUSAL in needs else config

    @classmethod
    def separate_units(cls, config: RNNConfig) -> RNNConfig:
        """Return the config with a projection, so that the state is no feature."""
        return config.model_copy(update={"state_width": config.state_width or _direction_width(config)})

    @classmethod
    def tiny(cls) -> RNNConfig:
        """Return two layers in both directions, whose states are projected."""
        return RNNConfig(width=8, layers=2, state_width=6, dropout=0.1)


def _direction_width(config: RNNConfig) -> int:
    """Return the width of the features of one direction."""
    return config.width // 2 if config.directions == "both" else config.width


def _make_cell(config: RNNConfig, size: int) -> nn.RNNBase:
    cell_type = nn.LSTM if config.cell == "lstm" else nn.GRU
    cell = _init_cell(cell_type(config.width, config.state_width or size, batch_first=True))
    if config.state_width is not None:
        cell.add_module(_PROJECTION, nn.Linear(config.state_width, size))
    return cell


def _project(cell: nn.Module, hidden_BTD: Tensor) -> Tensor:
    """Return what a layer gives of its states."""
    projection: nn.Linear | None = getattr(cell, _PROJECTION, None)
    return hidden_BTD if projection is None else projection(hidden_BTD)


def _run_from_state(layer: nn.Module, input_BTD: Tensor, mask_BT: Tensor, start_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Run a layer from a state; return all hidden states and the last real state."""
    if not isinstance(layer, nn.LSTM):
        hidden_BTD = layer(input_BTD, start_BK.unsqueeze(0).contiguous())[0]
        return hidden_BTD, _last_hidden(start_BK, hidden_BTD, mask_BT)
    start_hidden_BD, start_cell_BD = start_BK.chunk(2, dim=1)
    start = (start_hidden_BD.unsqueeze(0).contiguous(), start_cell_BD.unsqueeze(0).contiguous())
    hidden_BTD = layer(input_BTD, start)[0]
    end_hidden_BD = _last_hidden(start_hidden_BD, hidden_BTD, mask_BT)
    previous_BTD = torch.cat([start_hidden_BD.unsqueeze(1), hidden_BTD[:, :-1]], dim=1)
    end_cell_BD = _last_cell(layer, input_BTD, previous_BTD, mask_BT, start_cell_BD)
    return hidden_BTD, torch.cat([end_hidden_BD, end_cell_BD], dim=1)


def _last_cell(
    layer: nn.LSTM, input_BTD: Tensor, previous_BTD: Tensor, mask_BT: Tensor, start_cell_BD: Tensor
) -> Tensor:
    """Return the cell state of an LSTM after the last real position, [B, D].

    PyTorch returns it only after the last step, padding included. But all gates follow from the hidden states, and with
    known gates the cell state is a weighted sum of what each step wrote, in which padding has no weight.

    The logarithm of the forget gate is written as softplus: `logsigmoid` is exported as Log(Sigmoid), and ONNX
    Runtime's Sigmoid is 0 from -18 down, so that the logarithm would be infinite.
    """
    input_weight, hidden_weight, input_bias, hidden_bias = layer.all_weights[0]
    gates_BTG = functional.linear(input_BTD, input_weight, input_bias)
    gates_BTG = gates_BTG + functional.linear(previous_BTD, hidden_weight, hidden_bias)
    input_gate, forget_gate, candidate, _ = gates_BTG.chunk(4, dim=2)
    log_forget_BTD = zero_masked(-functional.softplus(-forget_gate), mask_BT)
    log_retained_BTD = log_forget_BTD.flip(1).cumsum(dim=1).flip(1)
    written_BTD = input_gate.sigmoid() * candidate.tanh() * (log_retained_BTD - log_forget_BTD).exp()
    return start_cell_BD * log_retained_BTD[:, 0].exp() + zero_masked(written_BTD, mask_BT).sum(dim=1)


def _last_hidden(start_BD: Tensor, hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    length_B11 = mask_BT.sum(dim=1)[:, None, None]
    hidden_BSD = torch.cat([start_BD.unsqueeze(1), hidden_BTD], dim=1)
    return hidden_BSD.gather(1, length_B11.expand(-1, 1, hidden_BSD.shape[2])).squeeze(1)


def _init_cell(cell: nn.RNNBase) -> nn.RNNBase:
    # Initially open forget gates of an LSTM retain its state from the first step (Jozefowicz et al. 2015, section 2.2).
    for name, parameter in cell.named_parameters():
        if "weight_hh" in name:
            for gate in parameter.chunk(len(parameter) // cell.hidden_size):
                nn.init.orthogonal_(gate)
        elif "weight_ih" in name:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
            if isinstance(cell, nn.LSTM) and "bias_ih" in name:
                nn.init.ones_(parameter[cell.hidden_size : 2 * cell.hidden_size])
    return cell
