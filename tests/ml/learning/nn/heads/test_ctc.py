from itertools import groupby, product

import pytest
import torch

from ml.learning.nn.architectures.base import Widths
from ml.learning.nn.heads.ctc import CTC, CTCConfig


def head() -> CTC:
    return CTC(CTCConfig(letters=3), widths={"audio": Widths(shape={"bins": 2}, sequence=4)})


def batch(*texts: list[int], frames: list[int]) -> dict[str, torch.Tensor]:
    lengths = torch.tensor([len(text) for text in texts])
    padded = torch.zeros(len(texts), int(lengths.max()), dtype=torch.int64)
    for row, text in enumerate(texts):
        padded[row, : len(text)] = torch.tensor(text)
    return {
        "text": padded,
        "text_mask": torch.arange(padded.shape[1]) < lengths[:, None],
        "audio_mask": torch.arange(max(frames)) < torch.tensor(frames)[:, None],
    }


def test_the_loss_sums_over_every_way_to_spell_the_text() -> None:
    logits = torch.randn(1, 4, 3, generator=torch.manual_seed(0))
    chances = logits[0].softmax(dim=1)

    def spells(path: tuple[int, ...]) -> bool:
        return [letter for letter, _ in groupby(path) if letter] == [1, 2]

    total = sum(
        float(torch.stack([chances[frame, letter] for frame, letter in enumerate(path)]).prod())
        for path in product(range(3), repeat=4)
        if spells(path)
    )
    found = head().loss({"logits": logits}, batch([1, 2], frames=[4]))
    assert found.item() == pytest.approx(-torch.tensor(total).log().item() / 2, rel=1e-5)


def test_a_text_longer_than_its_frames_is_left_out_and_never_infinite() -> None:
    logits = torch.randn(2, 3, 3, generator=torch.manual_seed(0), requires_grad=True)
    told = batch([1, 1, 2], [1, 2], frames=[3, 3])  # the first needs a blank between its twins

    loss = head().loss({"logits": logits}, told)
    loss.backward()

    alone = head().loss({"logits": logits[1:]}, batch([1, 2], frames=[3]))
    assert loss.item() == pytest.approx(alone.item())
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[0] == 0).all()
    assert head().measure({"logits": logits}, told)["left_out"].item() == 0.5


def test_frames_of_padding_change_nothing() -> None:
    logits = torch.randn(1, 5, 3, generator=torch.manual_seed(0))
    short = head().loss({"logits": logits[:, :3]}, batch([1, 2], frames=[3]))
    padded = batch([1, 2], frames=[5])
    padded["audio_mask"][:, 3:] = False
    assert head().loss({"logits": logits}, padded).item() == pytest.approx(short.item())
