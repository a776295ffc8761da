import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ml.learning.nn.architectures.rnn import RNN, RNNConfig
from ml.signals import Feature

SHAPE = {"vocabulary": 20, "length": 7}


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_both_directions_are_what_torch_makes_of_a_packed_sequence(cell: str) -> None:
    torch.manual_seed(0)
    backbone = RNN(RNNConfig(cell=cell, width=12), shape=SHAPE).eval()
    packed = (nn.LSTM if cell == "lstm" else nn.GRU)(12, 6, batch_first=True, bidirectional=True)
    ahead, back = backbone.ahead[0].state_dict(), backbone.back[0].state_dict()
    packed.load_state_dict({**ahead, **{f"{name}_reverse": each for name, each in back.items()}})
    signal, lengths = torch.randint(0, 20, (3, 7)), torch.tensor([7, 4, 1])
    mask = torch.arange(7) < lengths[:, None]
    read = backbone.reader(signal, mask)
    expected = pad_packed_sequence(packed(pack_padded_sequence(read, lengths, batch_first=True))[0], batch_first=True)
    torch.testing.assert_close(backbone(signal, mask)[Feature.SEQUENCE][0], expected[0])


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3)])
def test_a_layer_has_the_parameters_of_its_gates(cell: str, gates: int) -> None:
    backbone = RNN(RNNConfig(cell=cell, width=10, directions="forward"), shape=SHAPE)
    # Per gate: a matrix for what is read, one for the state, and two vectors, as cuDNN has it.
    assert sum(each.numel() for each in backbone.ahead.parameters()) == gates * (10 * 10 + 10 * 10 + 2 * 10)


def test_an_odd_width_has_no_halves() -> None:
    with pytest.raises(ValueError, match="even width"):
        RNNConfig(width=7)
    assert RNNConfig(width=7, directions="forward").width == 7


def test_the_gates_of_forgetting_start_open() -> None:
    cell = RNN(RNNConfig(width=8, directions="forward"), shape=SHAPE).ahead[0]
    bias = cell.bias_ih_l0 + cell.bias_hh_l0
    assert bias.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16
