from itertools import groupby, product

import pytest
import torch

from ml.learning.nn.architectures.base import Widths
from ml.learning.nn.heads.ctc import CTC, CTCConfig


def _head() -> CTC:
    return CTC(CTCConfig(characters=3), widths={"audio": Widths(shape={"bins": 2}, sequence=4)})


def _batch(*texts: list[int], frames: list[int]) -> dict[str, torch.Tensor]:
    lengths = torch.tensor([len(text) for text in texts])
    padded = torch.zeros(len(texts), int(lengths.max()), dtype=torch.int64)
    for row, text in enumerate(texts):
        padded[row, : len(text)] = torch.tensor(text)
    return {
        "text": padded,
        "text_mask": torch.arange(padded.shape[1]) < lengths[:, None],
        "audio_mask": torch.arange(max(frames)) < torch.tensor(frames)[:, None],
    }


def test_the_loss_sums_over_all_alignments_of_the_text() -> None:
    logits = torch.randn(1, 4, 3, generator=torch.manual_seed(0))
    probabilities = logits[0].softmax(dim=1)

    def is_alignment(path: tuple[int, ...]) -> bool:
        return [character for character, _ in groupby(path) if character] == [1, 2]

    total = sum(
        float(torch.stack([probabilities[frame, character] for frame, character in enumerate(path)]).prod())
        for path in product(range(3), repeat=4)
        if is_alignment(path)
    )
    loss = _head().loss({"logits": logits}, _batch([1, 2], frames=[4]))
    assert loss.item() == pytest.approx(-torch.tensor(total).log().item() / 2, rel=1e-5)


def test_a_text_longer_than_its_frames_is_ignored_and_its_loss_is_not_infinite() -> None:
    logits = torch.randn(2, 3, 3, generator=torch.manual_seed(0), requires_grad=True)
    batch = _batch([1, 1, 2], [1, 2], frames=[3, 3])  # the first needs a blank between its equal characters

    loss = _head().loss({"logits": logits}, batch)
    loss.backward()

    alone = _head().loss({"logits": logits[1:]}, _batch([1, 2], frames=[3]))
    assert loss.item() == pytest.approx(alone.item())
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[0] == 0).all()
    assert _head().measure({"logits": logits}, batch)["left_out"].item() == 0.5


def test_padding_frames_do_not_change_the_loss() -> None:
    logits = torch.randn(1, 5, 3, generator=torch.manual_seed(0))
    short = _head().loss({"logits": logits[:, :3]}, _batch([1, 2], frames=[3]))
    padded = _batch([1, 2], frames=[5])
    padded["audio_mask"][:, 3:] = False
    assert _head().loss({"logits": logits}, padded).item() == pytest.approx(short.item())
