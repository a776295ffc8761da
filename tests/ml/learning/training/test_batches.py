"""Composition and order of batches."""

import numpy as np
import torch

from ml.learning.training.batches import ShuffledBatches

CPU = torch.device("cpu")
ROWS, SIZE = 6_000, 20


def _lengths(epoch: int = 0, start: int = 0) -> list[np.ndarray]:
    """Lengths of the rows of each batch."""
    lengths = np.random.default_rng(0).integers(3, 60, ROWS)
    text = [np.zeros(length, dtype=np.int64) for length in lengths]

    def collate(columns: dict[str, object]) -> dict[str, np.ndarray]:
        return {"row": np.asarray(columns["row"])}

    source = ShuffledBatches(
        {"text": text, "row": np.arange(ROWS)}, collate=collate, batch_size=SIZE, seed=3, device=CPU
    )
    return [lengths[batch["row"].numpy()] for batch, _ in source.epoch(epoch, start=start)]


def test_rows_of_different_lengths_come_in_batches_with_little_padding() -> None:
    batches = _lengths()
    real = sum(lengths.sum() for lengths in batches)
    assert len(batches) == ROWS // SIZE
    # In random order, 45 % of a batch of 20 rows with lengths from 3 to 59 is padding.
    assert real / sum(lengths.max() * SIZE for lengths in batches) > 0.95


def test_short_batches_do_not_all_come_first() -> None:
    means = np.array([lengths.mean() for lengths in _lengths()])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2


def test_an_epoch_of_different_lengths_resumes_in_its_middle_and_differs_from_the_next() -> None:
    whole, resumed, next_epoch = _lengths(), _lengths(start=7), _lengths(epoch=1)
    assert all(np.array_equal(*pair) for pair in zip(whole[7:], resumed, strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(whole, next_epoch, strict=True))


def test_each_row_comes_once_if_the_rows_fill_their_batches() -> None:
    text = [np.zeros(length, dtype=np.int64) for length in np.random.default_rng(0).integers(1, 9, 60)]
    columns = {"text": text, "row": np.arange(60)}
    source = ShuffledBatches(
        columns, collate=lambda batch: {"row": np.asarray(batch["row"])}, batch_size=6, seed=0, device=CPU
    )
    rows = np.concatenate([batch["row"].numpy() for batch, _ in source.epoch(1)])
    assert sorted(rows) == list(range(60))
