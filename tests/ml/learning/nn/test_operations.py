"""Multiply-adds are counted, also those of recurrent layers."""

import pytest
import torch

from ml.config import Choice
from ml.learning.nn.network import build
from ml.learning.nn.operations import count_operations

SHAPE = {"vocabulary": 20, "length": 7}


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3)])
def test_products_of_a_recurrent_layer_are_counted(cell: str, gates: int) -> None:
    config = {"width": 8, "cell": cell, "directions": "forward", "state_width": 6}
    head = Choice(name="classifier", config={"classes": 3})
    network = build({"text": Choice(name="rnn", config=config)}, shapes={"text": SHAPE}, head=head)

    batch = {"text": torch.zeros(1, 5, dtype=torch.long), "text_mask": torch.ones(1, 5, dtype=torch.bool)}
    operations = count_operations(network, batch)

    layer = 5 * (gates * 6 * (8 + 6) + 6 * 8)
    assert operations == layer + 8 * 3
    assert torch.backends.mkldnn.enabled == torch.backends.mkldnn.is_available()
