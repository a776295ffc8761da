"""Text infilling: which spans are masked, and what remains."""

from itertools import pairwise
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


def _build(**config: Any) -> Denoising:
    torch.manual_seed(0)
    backbone = Choice(name="transformer", config={"width": 16, "heads": 2, "layers": 1})
    network = build({"text": backbone}, shapes={"text": SHAPE}, head=Choice(name="decoder", config={"layers": 1}))
    return Denoising(DenoisingConfig(**config), network)


def _texts(rows: int = 400, max_length: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random texts and their mask; no token occurs twice in a text."""
    torch.manual_seed(1)
    lengths = torch.randint(4, max_length + 1, (rows, 1))
    positions = torch.arange(max_length)
    text = torch.stack([5 + torch.randperm(55)[:max_length] for _ in range(rows)])
    text = torch.where(positions == 0, 2, torch.where(positions == lengths - 1, 3, text))
    return text.masked_fill(positions >= lengths, 0), positions < lengths


def test_the_corrupted_text_has_one_mask_for_each_span() -> None:
    text, mask = _texts()
    corrupted, corrupted_mask = _build().corrupt(text, mask)
    for row in range(len(text)):
        original, remaining = text[row][mask[row]].tolist(), corrupted[row][corrupted_mask[row]].tolist()
        assert (remaining[0], remaining[-1]) == (2, 3)
        assert len(remaining) <= len(original)
        assert (4, 4) not in pairwise(remaining)
        for previous, token in pairwise(remaining):
            if 4 not in (previous, token):
                assert original.index(token) == original.index(previous) + 1
        unmasked = [original.index(token) for token in remaining if token != 4]
        assert unmasked == sorted(unmasked)
        assert (corrupted[row][~corrupted_mask[row]] == 0).all()


@pytest.mark.parametrize(("hidden", "mean_span"), [(0.15, 3.0), (0.3, 3.0), (0.3, 1.0)])
def test_the_masked_fraction_is_that_of_the_config_except_for_overlaps(hidden: float, mean_span: float) -> None:
    text, mask = _texts(rows=2000)
    corrupted, corrupted_mask = _build(hidden=hidden, mean_span=mean_span).corrupt(text, mask)
    masks = int((corrupted == 4).sum())
    fraction = 1 - float(corrupted_mask.sum() - masks) / float(mask.sum())
    # Spans start independently, so they overlap; spans at the end of a text and its two fixed tokens, which are never
    # masked, reduce the fraction a little more.
    assert 0.6 * hidden < fraction < 1.02 * hidden
    assert masks <= mask.sum() - (corrupted_mask.sum() - masks)


def test_the_network_reads_the_corrupted_text_and_writes_the_whole_text() -> None:
    objective = _build().eval()
    text, mask = _texts(rows=8)
    batches: list[dict[str, torch.Tensor]] = []
    objective.network.compute_losses = lambda batch: batches.append(batch) or {}
    objective({"text": text, "text_mask": mask})
    (batch,) = batches
    assert torch.equal(batch["target"], text)
    assert torch.equal(batch["target_mask"], mask)
    assert batch["text"].shape[1] <= text.shape[1]
    assert (batch["text"] == 4).any()


def test_a_translation_can_start_from_its_base_model(tmp_path: Path) -> None:
    data = samples.path({"text": "text", "target": "text"})
    tiny = {"name": "transformer", "config": ARCHITECTURES["transformer"].tiny().model_dump(mode="json")}
    base = run(data, tmp_path / "base", spec("pretrain", objective="denoising", architecture=tiny)).package
    result = run(
        data, tmp_path / "model", spec("finetune", task="translation", start_from="base"), start_from=base.directory
    )
    assert result.report is not None
    transfer = result.report["transfer"]
    assert (transfer["new"], transfer["dropped"]) == ([], [])
    assert any(name.startswith("head.") for name in transfer["loaded"])
