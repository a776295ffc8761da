import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ml.learning.nn.architectures.rnn import RNN, RNNConfig, _run_from_state
from ml.signals import Feature

SHAPE = {"vocabulary": 20, "length": 7}


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_both_directions_equal_those_of_torch_on_a_packed_sequence(cell: str) -> None:
    torch.manual_seed(0)
    backbone = RNN(RNNConfig(cell=cell, width=12), shape=SHAPE).eval()
    reference = (nn.LSTM if cell == "lstm" else nn.GRU)(12, 6, batch_first=True, bidirectional=True)
    ahead, back = backbone.ahead[0].state_dict(), backbone.back[0].state_dict()
    reference.load_state_dict({**ahead, **{f"{name}_reverse": tensor for name, tensor in back.items()}})
    signal, lengths = torch.randint(0, 20, (3, 7)), torch.tensor([7, 4, 1])
    mask = torch.arange(7) < lengths[:, None]
    packed = pack_padded_sequence(backbone.reader(signal, mask), lengths, batch_first=True)
    expected, _ = pad_packed_sequence(reference(packed)[0], batch_first=True)
    torch.testing.assert_close(backbone(signal, mask)[Feature.SEQUENCE][0], expected)


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3)])
def test_a_layer_has_the_parameters_of_its_gates(cell: str, gates: int) -> None:
    backbone = RNN(RNNConfig(cell=cell, width=10, directions="forward"), shape=SHAPE)
    # Per gate: a matrix for the input, one for the state, and two biases, as in cuDNN.
    count = sum(parameter.numel() for parameter in backbone.ahead.parameters())
    assert count == gates * (10 * 10 + 10 * 10 + 2 * 10)


def test_two_directions_require_an_even_width() -> None:
    with pytest.raises(ValueError, match="even width"):
        RNNConfig(width=7)
    assert RNNConfig(width=7, directions="forward").width == 7


def test_forget_gates_start_open() -> None:
    cell = RNN(RNNConfig(width=8, directions="forward"), shape=SHAPE).ahead[0]
    bias = cell.bias_ih_l0 + cell.bias_hh_l0
    assert bias.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16


def test_the_cell_state_is_that_of_torch_behind_gates_that_are_shut() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(5, 4, batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0.mul_(100)
    signal, mask = torch.randn(3, 6, 5), torch.ones(3, 6, dtype=torch.bool)
    start = torch.randn(3, 8)
    hidden, cell = start.chunk(2, dim=1)

    _, end = _run_from_state(layer, signal, mask, start)

    _, (last_hidden, last_cell) = layer(signal, (hidden[None].contiguous(), cell[None].contiguous()))
    torch.testing.assert_close(end, torch.cat([last_hidden[0], last_cell[0]], dim=1), rtol=1e-4, atol=1e-5)
