"""Text infilling: what is hidden, and what is left."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ml.config import Choice
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.network import build
from ml.learning.nn.objectives.denoising import Denoising, DenoisingConfig
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

SHAPE = {"vocabulary": 60, "length": 64, "padding": 0, "unknown": 1, "begin": 2, "end": 3, "mask": 4}


def _built(**config: Any) -> Denoising:
    torch.manual_seed(0)
    backbone = Choice(name="transformer", config={"width": 16, "heads": 2, "layers": 1})
    network = build({"text": backbone}, shapes={"text": SHAPE}, head=Choice(name="decoder", config={"layers": 1}))
    return Denoising(DenoisingConfig(**config), network)


def _texts(rows: int = 400, longest: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """No token twice in a row, so that every piece can be found again."""
    torch.manual_seed(1)
    lengths = torch.randint(4, longest + 1, (rows, 1))
    places = torch.arange(longest)
    text = torch.stack([5 + torch.randperm(55)[:longest] for _ in range(rows)])
    text = torch.where(places == 0, 2, torch.where(places == lengths - 1, 3, text))
    return text.masked_fill(places >= lengths, 0), places < lengths


def test_what_is_left_is_the_text_with_a_mask_for_each_gap() -> None:
    text, real = _texts()
    left, left_real = _built().corrupted(text, real)
    for row in range(len(text)):
        whole, rest = text[row][real[row]].tolist(), left[row][left_real[row]].tolist()
        assert (rest[0], rest[-1]) == (2, 3)
        assert len(rest) <= len(whole)
        assert [4, 4] not in [rest[at : at + 2] for at in range(len(rest))]
        at = 0
        for token in rest:
            if token == 4:
                at = None
                continue
            found = whole.index(token)
            assert found == at if at is not None else True
            at = found + 1
        assert (left[row][~left_real[row]] == 0).all()


@pytest.mark.parametrize(("hidden", "mean_span"), [(0.15, 3.0), (0.3, 3.0), (0.3, 1.0)])
def test_as_much_is_hidden_as_was_asked_but_for_overlaps(hidden: float, mean_span: float) -> None:
    text, real = _texts(rows=2000)
    left, left_real = _built(hidden=hidden, mean_span=mean_span).corrupted(text, real)
    masks = int((left == 4).sum())
    gone = 1 - float(left_real.sum() - masks) / float(real.sum())
    # Where spans begin independently, a token is left with the chance that none of those before reaches it; ends of a
    # text and its two fixed tokens take off a little more.
    assert 0.6 * hidden < gone < 1.02 * hidden
    assert masks <= real.sum() - (left_real.sum() - masks)


def test_the_source_of_what_is_written_is_not_the_whole_text() -> None:
    objective = _built().eval()
    text, real = _texts(rows=8)
    seen: list[dict[str, torch.Tensor]] = []
    objective.network.losses = lambda batch: seen.append(batch) or {}
    objective({"text": text, "text_mask": real})
    (batch,) = seen
    assert torch.equal(batch["target"], text)
    assert torch.equal(batch["target_mask"], real)
    assert batch["text"].shape[1] <= text.shape[1]
    assert (batch["text"] == 4).any()


def test_a_translation_can_start_from_what_it_made(tmp_path: Path) -> None:
    data = samples.path({"text": "text", "target": "text"})
    tiny = {"name": "transformer", "config": ARCHITECTURES["transformer"].tiny().model_dump(mode="json")}
    base = run(data, tmp_path / "base", spec("pretrain", objective="denoising", architecture=tiny)).package
    made = run(
        data, tmp_path / "made", spec("finetune", task="translation", start_from="base"), start_from=base.directory
    )
    assert made.report is not None
    transfer = made.report["transfer"]
    assert (transfer["new"], transfer["dropped"]) == ([], [])
    assert any(name.startswith("head.") for name in transfer["kept"])
