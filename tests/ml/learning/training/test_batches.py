"""Which rows come together, and in which order."""

import numpy as np
import torch

from ml.learning.training.batches import ShuffledBatches

CPU = torch.device("cpu")
ROWS, SIZE = 6_000, 20


def _lengths(epoch: int = 0, start: int = 0) -> list[np.ndarray]:
    """How long the rows of each batch are."""
    lengths = np.random.default_rng(0).integers(3, 60, ROWS)
    text = [np.zeros(length, dtype=np.int64) for length in lengths]

    def collate(columns: dict[str, object]) -> dict[str, np.ndarray]:
        return {"row": np.asarray(columns["row"])}

    source = ShuffledBatches(
        {"text": text, "row": np.arange(ROWS)}, collate=collate, batch_size=SIZE, seed=3, device=CPU
    )
    return [lengths[batch["row"].numpy()] for batch, _ in source.epoch(epoch, start=start)]


def test_rows_of_several_lengths_come_in_batches_that_are_mostly_no_padding() -> None:
    found = _lengths()
    real = sum(each.sum() for each in found)
    assert len(found) == ROWS // SIZE
    # In any order, rows of 3 to 59 at random leave 45 % of a batch of 20 empty.
    assert real / sum(each.max() * SIZE for each in found) > 0.95


def test_short_batches_do_not_all_come_first() -> None:
    means = np.array([each.mean() for each in _lengths()])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2


def test_an_epoch_of_several_lengths_can_be_taken_up_in_its_middle_and_differs_from_the_next() -> None:
    whole, rest, other = _lengths(), _lengths(start=7), _lengths(epoch=1)
    assert all(np.array_equal(one, same) for one, same in zip(whole[7:], rest, strict=True))
    assert not all(np.array_equal(one, same) for one, same in zip(whole, other, strict=True))


def test_every_row_comes_once_where_rows_fill_their_batches() -> None:
    text = [np.zeros(length, dtype=np.int64) for length in np.random.default_rng(0).integers(1, 9, 60)]
    columns = {"text": text, "row": np.arange(60)}
    source = ShuffledBatches(
        columns, collate=lambda each: {"row": np.asarray(each["row"])}, batch_size=6, seed=0, device=CPU
    )
    rows = np.concatenate([batch["row"].numpy() for batch, _ in source.epoch(1)])
    assert sorted(rows) == list(range(60))
