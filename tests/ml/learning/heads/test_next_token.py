import math
from typing import Any

import pytest
import torch

from ml.learning.heads.next_token import LOGITS_AT_ONCE, NextToken, NextTokenConfig
from ml.learning.network import build
from ml.spec import Choice

SHAPE = {"vocabulary": 11, "length": 12}
TOKENS = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
MASK = torch.tensor([[True] * 4, [True, True, False, False]])


def _network(**config: Any) -> Any:
    torch.manual_seed(0)
    backbone = Choice(name="gpt", config={"width": 8, "layers": 1, "heads": 2})
    return build({"text": backbone}, shapes={"text": SHAPE}, head=Choice(name="next_token", config=config))


def test_each_token_is_told_from_those_before_it_and_padding_does_not_count() -> None:
    network = _network().eval()
    outputs = network({"text": TOKENS, "text_mask": MASK})
    for row, place in ((0, 0), (0, 1), (0, 2), (1, 0)):
        before = {"text": TOKENS[row : row + 1, : place + 1], "text_mask": MASK[row : row + 1, : place + 1]}
        logits = network.infer(before)["logits"][0]
        expected = -logits.log_softmax(dim=0)[TOKENS[row, place + 1]]
        torch.testing.assert_close(outputs["nats"][row, place], expected, rtol=1e-4, atol=1e-5)
    counted = torch.cat([outputs["nats"][0], outputs["nats"][1, :1]])
    torch.testing.assert_close(network.head.loss(outputs, {}), counted.mean())


def test_only_the_part_with_weight_is_learned() -> None:
    network = _network()
    weight = torch.tensor([[0.0, 0, 0, 1], [0, 0, 0, 0]])
    outputs = network({"text": TOKENS, "text_mask": MASK, "text_weight": weight})
    torch.testing.assert_close(network.head.loss(outputs, {}), outputs["nats"][0, 2])


def test_rows_without_any_weight_are_no_division_by_zero() -> None:
    network = _network()
    nothing = torch.zeros(2, 4)
    assert network.losses({"text": TOKENS, "text_mask": MASK, "text_weight": nothing})["loss"].item() == 0


def test_one_table_reads_and_writes() -> None:
    tied, apart = _network(), _network(vocabulary=11)
    assert not list(tied.head.parameters())
    assert sum(each.numel() for each in apart.head.parameters()) == 11 * 8


def test_a_backbone_without_a_table_of_that_width_gets_one_of_its_own() -> None:
    from ml.learning.architectures.base import Widths

    head = NextToken(NextTokenConfig(), widths={"text": Widths(shape=SHAPE, causal=6)})
    head.share(dict(_network().backbones))
    assert head.own_table is not None
    assert head.own_table.weight.shape == (11, 6)


def test_judging_a_large_vocabulary_piece_by_piece_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _network().eval()
    batch = {"text": TOKENS, "text_mask": MASK}
    whole = network(batch)
    monkeypatch.setattr("ml.learning.heads.next_token.LOGITS_AT_ONCE", 11 * 3)
    pieces = network(batch)
    assert LOGITS_AT_ONCE > 11 * 3
    assert all(torch.allclose(whole[name], pieces[name], atol=1e-6) for name in whole)


def test_tokens_that_are_equally_likely_cost_the_logarithm_of_their_number() -> None:
    network = _network(vocabulary=11)
    torch.nn.init.zeros_(network.head.own_table.weight)
    loss = network.losses({"text": TOKENS, "text_mask": MASK})["loss"]
    assert loss.item() == pytest.approx(math.log(11), rel=1e-5)
