"""Encoded rows in mapped files are those in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ml.data.dataset import Dataset
from ml.encoders import ENCODERS
from ml.learning.pipeline import encoded_rows
from ml.learning.pipeline.encoded_rows import CONTENT, RowEncoder
from ml.learning.training.batches import ShuffledBatches
from ml.learning.training.unlabeled import Unlabeled
from ml.preprocessing.ragged_array import RaggedArray
from ml.tasks import TASKS
from ml.tasks.base import BatchAdapter
from tests.support.ml import samples
from tests.support.ml.packages import make_toy_plan

BLOCK = 16


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of samples are many."""
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", BLOCK)
    monkeypatch.setattr(encoded_rows, "MIN_PACKED_BYTES", 0)


def assert_equal(left: Any, right: Any) -> None:
    """Compare columns row by row, with types."""
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        if isinstance(one, np.ndarray | np.generic):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        else:
            assert repr(one) == repr(other)


def encode_twice(reader: BatchAdapter, data: Dataset, folder: Path) -> None:
    """Compare rows that are stored, and read again, with those of `encode`."""
    rows = data.rows("train")
    for encoder in reader.slot_encoders.values():
        encoder.pop_losses()
    expected = reader.encode(rows)
    losses = {name: counts for name, encoder in reader.slot_encoders.items() if (counts := encoder.pop_losses())}
    for _ in range(2):
        encoded = RowEncoder.create(reader, folder, dataset=data).encode(rows, "train")
        assert encoded.columns.keys() == expected.keys()
        assert encoded.losses == losses
        for name, column in expected.items():
            assert_equal(column, encoded.columns[name])


@pytest.mark.parametrize("name", TASKS)
def test_stored_rows_of_a_task_are_those_in_memory(tmp_path: Path, name: str) -> None:
    data = samples.dataset(samples.columns_read_by(TASKS[name]))
    plan = make_toy_plan(name)
    encode_twice(plan.reader, data, tmp_path)
    has_images = any(encoder.name == "image" for encoder in plan.encoders.values())
    assert bool(list(tmp_path.glob(f"*/{CONTENT}"))) != has_images, "only images are mapped by their dataset already"


@pytest.mark.parametrize("packs", [False, True])
def test_stored_rows_without_targets_are_those_in_memory(tmp_path: Path, packs: bool) -> None:
    data = samples.dataset({"text": "text"})
    encoders = {"text": ENCODERS["text"].learn(data.rows("train").columns["text"], {"max_length": 12})}
    encode_twice(Unlabeled(encoders, packs=packs), data, tmp_path)


def test_batches_of_stored_rows_are_those_of_rows_in_memory(tmp_path: Path) -> None:
    data, plan = (
        samples.dataset(samples.columns_read_by(TASKS["text_classification"])),
        make_toy_plan("text_classification"),
    )
    rows = data.rows("train")
    stored = RowEncoder.create(plan.reader, tmp_path, dataset=data).encode(rows, "train").columns
    assert isinstance(stored["text"], RaggedArray)
    batches = [
        list(
            ShuffledBatches(
                columns, collate=plan.reader.collate, batch_size=8, seed=3, device=torch.device("cpu")
            ).epoch(1)
        )
        for columns in (stored, plan.reader.encode(rows))
    ]
    for (one, _), (other, _) in zip(*batches, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_other_rows_encoders_and_datasets_have_files_of_their_own(tmp_path: Path) -> None:
    data = samples.dataset({"text": "text"})
    rows = data.rows("train")
    texts = rows.columns["text"]

    def encode(max_length: int, selection: str, dataset: Dataset) -> None:
        reader = Unlabeled({"text": ENCODERS["text"].learn(texts, {"max_length": max_length})})
        RowEncoder.create(reader, tmp_path, dataset=dataset).encode(rows, selection)

    other = Dataset(data.directory, data.summary.model_copy(update={"digest": "0" * 64}))
    for max_length, selection, dataset in ((12, "train", data), (12, "other", data), (9, "train", data)):
        encode(max_length, selection, dataset)
    encode(12, "train", other)
    encode(12, "train", data)
    assert len(list(tmp_path.glob(f"*/{CONTENT}"))) == 4


def test_rows_are_encoded_once_by_two_runs_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = samples.dataset({"text": "text"})
    rows = data.rows("train")
    calls = []
    encode = Unlabeled.encode
    monkeypatch.setattr(Unlabeled, "encode", lambda self, block: (calls.append(len(block)), encode(self, block))[1])

    def run() -> None:
        reader = Unlabeled({"text": ENCODERS["text"].learn(rows.columns["text"], {"max_length": 12})})
        RowEncoder.create(reader, tmp_path, dataset=data).encode(rows, "train")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(calls) == len(rows)


def test_files_left_by_a_killed_run_are_written_anew(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from ml.learning.pipeline import encoded_rows\n"
        "from tests.ml.learning.pipeline.test_encoded_rows import encode_train\n"
        "encoded_rows.json.dumps = lambda *_, **__: os._exit(9)\n"
        "encode_train(Path(sys.argv[1]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", program, tmp_path], check=False, env=environment)
    assert killed.returncode == 9
    assert not list(tmp_path.glob(f"*/{CONTENT}"))
    encode_train(tmp_path)
    (content,) = tmp_path.glob(f"*/{CONTENT}")
    assert json.loads(content.read_bytes())["columns"] == {"text": "ragged"}


def encode_train(folder: Path) -> None:
    """Encode the texts of a sample."""
    data = samples.dataset({"text": "text"})
    rows = data.rows("train")
    reader = Unlabeled({"text": ENCODERS["text"].learn(rows.columns["text"], {"max_length": 12})})
    RowEncoder(reader, folder, "key", 0).encode(rows, "train")


def test_a_damaged_file_is_written_anew(tmp_path: Path) -> None:
    encode_train(tmp_path)
    (values,) = tmp_path.glob("*/text.values")
    content = values.read_bytes()
    values.write_bytes(content[:-4])
    encode_train(tmp_path)
    assert values.read_bytes() == content
