"""The decoder computes the same all at once (training) and token by token (inference)."""

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


def _sample_inputs() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    lengths = torch.tensor([7, 4, 2])
    batch = {
        "text_mask": torch.arange(SOURCE) < lengths[:, None],
        "target": torch.randint(3, VOCABULARY, (ROWS, 6)),
        "target_mask": torch.arange(6) < torch.tensor([6, 3, 5])[:, None],
    }
    return {"text": {Feature.SEQUENCE: (torch.randn(ROWS, SOURCE, WIDTH),)}}, batch


def test_decoding_token_by_token_equals_decoding_all_at_once() -> None:
    head = _decoder(layers=3)
    features, batch = _sample_inputs()
    expected = functional.linear(head(features, batch)["hidden"], head.output_embedding()).log_softmax(dim=-1)
    memory = head.infer(features, batch)["memory"]
    past = torch.zeros(ROWS, 1, 0, memory.shape[2])
    for position in range(5):
        token = batch["target"][:, position : position + 1]
        step = {"memory": memory, "text_mask": batch["text_mask"], "token": token, "past": past}
        outputs = head.infer({}, step)
        # Sums in another order: a few units in the last place of float32.
        torch.testing.assert_close(outputs["log_probabilities"][:, 0], expected[:, position], rtol=1e-5, atol=1e-5)
        past = torch.cat([past, outputs["entry"].unsqueeze(2)], dim=2)


def test_each_beam_continues_its_own_past() -> None:
    head = _decoder()
    features, batch = _sample_inputs()
    memory = head.infer(features, batch)["memory"]
    torch.manual_seed(2)
    token, past = torch.randint(VOCABULARY, (ROWS, 4)), torch.randn(ROWS, 4, 5, memory.shape[2])
    source = {"memory": memory, "text_mask": batch["text_mask"]}
    together = head.infer({}, {**source, "token": token, "past": past})
    for beam in range(4):
        columns = slice(beam, beam + 1)
        alone = head.infer({}, {**source, "token": token[:, columns], "past": past[:, columns]})
        for name, tensor in alone.items():
            torch.testing.assert_close(together[name][:, columns], tensor, rtol=1e-5, atol=1e-5)


def test_a_position_does_not_depend_on_later_tokens() -> None:
    head = _decoder()
    features, batch = _sample_inputs()
    before = head(features, batch)["hidden"]
    changed = batch["target"].clone()
    changed[:, 3] = (changed[:, 3] + 1) % VOCABULARY
    after = head(features, {**batch, "target": changed})["hidden"]
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3], after[:, 3])


def test_padding_of_source_and_target_does_not_change_the_loss() -> None:
    head = _decoder()
    features, batch = _sample_inputs()
    noise = torch.randn(ROWS, SOURCE, WIDTH)
    is_real = batch["text_mask"].unsqueeze(-1)
    noisy = {"text": {Feature.SEQUENCE: (torch.where(is_real, features["text"][Feature.SEQUENCE][0], noise),)}}
    target = torch.where(batch["target_mask"], batch["target"], (batch["target"] + 1) % VOCABULARY)
    cases = ((features, batch), (noisy, batch), (features, {**batch, "target": target}))
    losses = [head.loss(head(*inputs), inputs[1]) for inputs in cases]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_equals_its_formula(smoothing: float) -> None:
    head = _decoder(label_smoothing=smoothing)
    features, batch = _sample_inputs()
    outputs = {"hidden": head(features, batch)["hidden"].detach()}
    logits = functional.linear(outputs["hidden"], head.output_embedding().detach())
    total, count = 0.0, 0
    for row, position in batch["target_mask"][:, 1:].nonzero().tolist():
        log_probs = logits[row, position].log_softmax(dim=0)
        one_hot = functional.one_hot(batch["target"][row, position + 1], VOCABULARY)
        total -= float(((one_hot * (1 - smoothing) + smoothing / VOCABULARY) * log_probs).sum())
        count += 1
    assert count == 11
    assert head.loss(outputs, batch).item() == pytest.approx(total / count, rel=1e-5)
