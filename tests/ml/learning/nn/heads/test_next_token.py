import math
from typing import Any

import pytest
import torch

from ml.config import Choice
from ml.learning.nn.architectures.base import Widths
from ml.learning.nn.heads.next_token import LOGITS_PER_CHUNK, NextToken, NextTokenConfig
from ml.learning.nn.network import build
from ml.signals import Feature

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
    from ml.learning.nn.architectures.base import Widths

    head = NextToken(NextTokenConfig(), widths={"text": Widths(shape=SHAPE, causal=6)})
    head.share(dict(_network().backbones))
    assert head.own_table is not None
    assert head.own_table.weight.shape == (11, 6)


def test_judging_a_large_vocabulary_piece_by_piece_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _network().eval()
    batch = {"text": TOKENS, "text_mask": MASK}
    whole = network(batch)
    monkeypatch.setattr("ml.learning.nn.heads.next_token.LOGITS_PER_CHUNK", 11 * 3)
    pieces = network(batch)
    assert LOGITS_PER_CHUNK > 11 * 3
    assert all(torch.allclose(whole[name], pieces[name], atol=1e-6) for name in whole)


def test_tokens_that_are_equally_likely_cost_the_logarithm_of_their_number() -> None:
    network = _network(vocabulary=11)
    torch.nn.init.zeros_(network.head.own_table.weight)
    loss = network.losses({"text": TOKENS, "text_mask": MASK})["loss"]
    assert loss.item() == pytest.approx(math.log(11), rel=1e-5)


def test_a_sample_stands_for_the_whole_vocabulary() -> None:
    torch.manual_seed(0)
    width, vocabulary = 8, 50
    widths = {"text": Widths(shape={"vocabulary": vocabulary, "length": 5}, pooled=width, causal=width)}
    config = {"vocabulary": vocabulary, "sampled": 4096}
    head = NextToken(NextToken.config_type.model_validate(config), widths=widths)
    features = {"text": {Feature.CAUSAL: (torch.randn(3, 5, width),)}}
    batch = {"text": torch.randint(vocabulary, (3, 5))}

    against_all = head.eval()(features, batch)["nats"]
    against_sample = head.train()(features, batch)["nats"]

    # 4,096 draws of 50 tokens: their sum is known within a few percent, of which the loss is the logarithm.
    torch.testing.assert_close(against_sample, against_all, rtol=0.05, atol=0.05)


def test_what_does_not_count_is_not_judged() -> None:
    widths = {"text": Widths(shape={"vocabulary": 7, "length": 4}, pooled=2, causal=2)}
    head = NextToken(NextToken.config_type(), widths=widths).eval()
    head.own_table = torch.nn.Embedding(7, 2)
    features = {"text": {Feature.CAUSAL: (torch.randn(2, 4, 2),)}}
    weight = torch.tensor([[1.0, 0, 0, 1], [1, 0, 0, 0]])

    found = head(features, {"text": torch.randint(7, (2, 4)), "text_weight": weight})

    assert (found["nats"] > 0).tolist() == [[False, False, True], [False, False, False]]
    assert head.loss(found, {}).item() == pytest.approx(found["nats"].sum().item())
