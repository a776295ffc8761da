"""The decoder: all at once in training and token by token in use are one and the same."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from ml.learning.nn.architectures.base import Widths
from ml.learning.nn.heads.decoder import Decoder, DecoderConfig
from ml.signals import Feature

ROWS, SOURCE, WIDTH, VOCABULARY = 3, 7, 16, 11


def _decoder(**config: Any) -> Decoder:
    torch.manual_seed(0)
    widths = {"text": Widths(shape={"vocabulary": VOCABULARY}, sequence=WIDTH)}
    return Decoder(DecoderConfig(vocabulary=VOCABULARY, heads=4, **config), widths=widths).eval()


def _read() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    lengths = torch.tensor([7, 4, 2])
    batch = {
        "text_mask": torch.arange(SOURCE) < lengths[:, None],
        "target": torch.randint(3, VOCABULARY, (ROWS, 6)),
        "target_mask": torch.arange(6) < torch.tensor([6, 3, 5])[:, None],
    }
    return {"text": {Feature.SEQUENCE: (torch.randn(ROWS, SOURCE, WIDTH),)}}, batch


def test_token_by_token_it_says_what_it_says_all_at_once() -> None:
    head = _decoder(layers=3)
    features, batch = _read()
    expected = functional.linear(head(features, batch)["hidden"], head.table()).log_softmax(dim=-1)
    memory = head.infer(features, batch)["memory"]
    past = torch.zeros(ROWS, 1, 0, memory.shape[2])
    for at in range(5):
        step = {"memory": memory, "text_mask": batch["text_mask"], "token": batch["target"][:, at : at + 1]}
        found = head.infer({}, {**step, "past": past})
        # Sums in another order: a few units in the last place of float32.
        torch.testing.assert_close(found["log_probabilities"][:, 0], expected[:, at], rtol=1e-5, atol=1e-5)
        past = torch.cat([past, found["entry"].unsqueeze(2)], dim=2)


def test_each_beam_goes_on_from_its_own_past() -> None:
    head = _decoder()
    features, batch = _read()
    memory = head.infer(features, batch)["memory"]
    torch.manual_seed(2)
    token, past = torch.randint(VOCABULARY, (ROWS, 4)), torch.randn(ROWS, 4, 5, memory.shape[2])
    known = {"memory": memory, "text_mask": batch["text_mask"]}
    together = head.infer({}, {**known, "token": token, "past": past})
    for beam in range(4):
        one = slice(beam, beam + 1)
        alone = head.infer({}, {**known, "token": token[:, one], "past": past[:, one]})
        for name, each in alone.items():
            torch.testing.assert_close(together[name][:, one], each, rtol=1e-5, atol=1e-5)


def test_no_position_sees_what_comes_after_it() -> None:
    head = _decoder()
    features, batch = _read()
    before = head(features, batch)["hidden"]
    changed = batch["target"].clone()
    changed[:, 3] = (changed[:, 3] + 1) % VOCABULARY
    after = head(features, {**batch, "target": changed})["hidden"]
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3], after[:, 3])


def test_padding_changes_nothing_wherever_it_stands() -> None:
    head = _decoder()
    features, batch = _read()
    noise = torch.randn(ROWS, SOURCE, WIDTH)
    hidden = batch["text_mask"].unsqueeze(-1)
    other = {"text": {Feature.SEQUENCE: (torch.where(hidden, features["text"][Feature.SEQUENCE][0], noise),)}}
    target = torch.where(batch["target_mask"], batch["target"], (batch["target"] + 1) % VOCABULARY)
    losses = [
        head.loss(head(each, given), given)
        for each, given in ((features, batch), (other, batch), (features, {**batch, "target": target}))
    ]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_what_its_formula_says(smoothing: float) -> None:
    head = _decoder(label_smoothing=smoothing)
    features, batch = _read()
    outputs = {"hidden": head(features, batch)["hidden"].detach()}
    logits = functional.linear(outputs["hidden"], head.table().detach())
    total, count = 0.0, 0
    for row, at in batch["target_mask"][:, 1:].nonzero().tolist():
        odds = logits[row, at].log_softmax(dim=0)
        wanted = functional.one_hot(batch["target"][row, at + 1], VOCABULARY) * (1 - smoothing) + smoothing / VOCABULARY
        total -= float((wanted * odds).sum())
        count += 1
    assert count == 11
    assert head.loss(outputs, batch).item() == pytest.approx(total / count, rel=1e-5)
