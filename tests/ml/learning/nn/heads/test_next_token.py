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


def test_each_token_is_predicted_from_those_before_it_and_padding_does_not_count() -> None:
    network = _network().eval()
    outputs = network({"text": TOKENS, "text_mask": MASK})
    losses = outputs["token_loss"]
    for row, position in ((0, 0), (0, 1), (0, 2), (1, 0)):
        prefix = {"text": TOKENS[row : row + 1, : position + 1], "text_mask": MASK[row : row + 1, : position + 1]}
        logits = network.infer(prefix)["logits"][0]
        expected = -logits.log_softmax(dim=0)[TOKENS[row, position + 1]]
        torch.testing.assert_close(losses[row, position], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.head.loss(outputs, {}), torch.cat([losses[0], losses[1, :1]]).mean())


def test_only_tokens_with_weight_count() -> None:
    network = _network()
    weight = torch.tensor([[0.0, 0, 0, 1], [0, 0, 0, 0]])
    outputs = network({"text": TOKENS, "text_mask": MASK, "text_weight": weight})
    torch.testing.assert_close(network.head.loss(outputs, {}), outputs["token_loss"][0, 2])


def test_the_loss_of_a_batch_without_weight_is_zero() -> None:
    network = _network()
    batch = {"text": TOKENS, "text_mask": MASK, "text_weight": torch.zeros(2, 4)}
    assert network.compute_losses(batch)["loss"].item() == 0


def test_input_and_output_share_one_embedding_by_default() -> None:
    tied, separate = _network(), _network(vocabulary=11)
    assert not list(tied.head.parameters())
    assert sum(parameter.numel() for parameter in separate.head.parameters()) == 11 * 8


def test_a_head_creates_an_embedding_if_that_of_the_backbone_has_another_width() -> None:
    head = NextToken(NextTokenConfig(), widths={"text": Widths(shape=SHAPE, causal=6)})
    head.bind_backbones(dict(_network().backbones))
    assert head.own_table is not None
    assert head.own_table.weight.shape == (11, 6)


def test_outputs_do_not_depend_on_the_size_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _network().eval()
    batch = {"text": TOKENS, "text_mask": MASK}
    whole = network(batch)
    monkeypatch.setattr("ml.learning.nn.heads.next_token.LOGITS_PER_CHUNK", 11 * 3)
    chunked = network(batch)
    assert LOGITS_PER_CHUNK > 11 * 3
    assert all(torch.allclose(whole[name], chunked[name], atol=1e-6) for name in whole)


def test_the_loss_of_a_uniform_prediction_is_the_logarithm_of_the_vocabulary() -> None:
    network = _network(vocabulary=11)
    torch.nn.init.zeros_(network.head.own_table.weight)
    loss = network.compute_losses({"text": TOKENS, "text_mask": MASK})["loss"]
    assert loss.item() == pytest.approx(math.log(11), rel=1e-5)


def test_the_sampled_loss_approximates_that_over_the_whole_vocabulary() -> None:
    torch.manual_seed(0)
    width, vocabulary = 8, 50
    widths = {"text": Widths(shape={"vocabulary": vocabulary, "length": 5}, pooled=width, causal=width)}
    config = {"vocabulary": vocabulary, "sampled": 4096}
    head = NextToken(NextToken.config_type.model_validate(config), widths=widths)
    features = {"text": {Feature.CAUSAL: (torch.randn(3, 5, width),)}}
    batch = {"text": torch.randint(vocabulary, (3, 5))}

    expected = head.eval()(features, batch)["token_loss"]
    sampled = head.train()(features, batch)["token_loss"]

    # 4,096 samples of 50 tokens estimate the sum within a few percent; the loss is its logarithm.
    torch.testing.assert_close(sampled, expected, rtol=0.05, atol=0.05)


def test_the_loss_of_tokens_without_weight_is_not_computed() -> None:
    widths = {"text": Widths(shape={"vocabulary": 7, "length": 4}, pooled=2, causal=2)}
    head = NextToken(NextToken.config_type(), widths=widths).eval()
    head.own_table = torch.nn.Embedding(7, 2)
    features = {"text": {Feature.CAUSAL: (torch.randn(2, 4, 2),)}}
    weight = torch.tensor([[1.0, 0, 0, 1], [1, 0, 0, 0]])

    outputs = head(features, {"text": torch.randint(7, (2, 4)), "text_weight": weight})

    assert (outputs["token_loss"] > 0).tolist() == [[False, False, True], [False, False, False]]
    assert head.loss(outputs, {}).item() == pytest.approx(outputs["token_loss"].sum().item())
