"""Fine-tuning an imported model keeps its tokenizer and the weights of shared labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from safetensors.numpy import load_file

from ml.data.importing.importer import import_dataset
from ml.learning.interchange.importer import import_model
from ml.learning.pipeline.train import TrainingResult, train
from ml.package.package import WEIGHTS, ModelPackage
from ml.spec.schema import Spec
from ml.tasks import TASKS
from tests.ml.learning.interchange.families.test_bert import folder_of
from tests.support.ml.model_folders import zip_folder

#: In the order of the data.
LABELS = {"bad": "not good.", "good": "a good film.", "so-so": "a film."}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviews")
    rows = [f"{text} {'a ' * count}\t{label}" for count in range(12) for label, text in LABELS.items()]
    (folder / "reviews.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    report = import_dataset([folder / "reviews.tsv"], folder / "dataset", task="text_classification", tasks=TASKS)
    assert report.state == "ready", report.errors
    return folder / "dataset"


def finetune(dataset: Path, base: Path, workdir: Path) -> TrainingResult:
    workdir.mkdir()
    request: dict[str, Any] = {"kind": "finetune", "dataset": "d", "task": "text_classification", "model": "m"}
    schedule = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-9}
    spec = TypeAdapter[Spec](Spec).validate_python({**request, "schedule": schedule})
    options: dict[str, Any] = {"on_progress": lambda _: None, "should_stop": lambda: None, "device": "cpu"}
    return train(spec, dataset, workdir, start_from=base, **options)


def test_a_base_model_keeps_its_tokenizer_and_gets_a_new_head(tmp_path: Path, reviews: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "base")
    result = finetune(reviews, tmp_path / "base", tmp_path / "work")
    base = ModelPackage.open(tmp_path / "base")
    tokenizer = "encoders/text/tokenizer.json"
    assert result.package.file(tokenizer).read_bytes() == base.file(tokenizer).read_bytes()
    assert result.report is not None
    transfer = result.report["transfer"]
    assert transfer["loaded"] == sorted(load_file(base.file(WEIGHTS)))
    assert transfer["new"] == ["head.linear.bias", "head.linear.weight"]
    assert transfer["dropped"] == []
    assert result.package.manifest.labels == list(LABELS)


@pytest.mark.parametrize("order", [["bad", "good", "so-so"], ["so-so", "bad", "good"], ["worst", "so-so", "bad"]])
def test_a_head_keeps_the_rows_of_the_same_labels_in_any_order(tmp_path: Path, reviews: Path, order: list[str]) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=True, id2label=dict(enumerate(order)))
    import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "base")
    result = finetune(reviews, tmp_path / "base", tmp_path / "work")
    assert result.package.manifest.labels == list(LABELS)
    assert result.report is not None
    shared = [label for label in LABELS if label in order]
    transfer = result.report["transfer"]
    assert transfer["labels"] == {
        "loaded": shared,
        "new": [label for label in LABELS if label not in order],
        "dropped": [label for label in order if label not in LABELS],
    }
    assert (transfer["new"], transfer["dropped"]) == ([], [])
    theirs, ours = (
        load_file(package.file(WEIGHTS))["head.linear.weight"]
        for package in (ModelPackage.open(tmp_path / "base"), result.package)
    )
    for label in shared:
        # Three steps of AdamW at a learning rate of 1e-9, beside weights of about 0.3 in float32.
        np.testing.assert_allclose(ours[list(LABELS).index(label)], theirs[order.index(label)], rtol=0, atol=1e-7)
