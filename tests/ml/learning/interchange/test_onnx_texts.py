"""An ONNX text classifier is imported with its tokenizer, and predicts the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, pre_tokenizers

from ml.errors import PackageError
from ml.inference.predictor import Predictor
from ml.learning.interchange.importer import import_model
from ml.package.package import ModelPackage
from tests.ml.learning.interchange.families.test_bert import TEXTS, folder_of, predict_pretrained
from tests.support.ml.model_folders import zip_folder

WORDS = ["[PAD]", "[UNK]", "[SEP]", "good", "bad", "film", "not"]
#: Logits of each word for no and yes; those of padding are the largest, should it not be masked.
WEIGHT = np.array([[9, 9], [0, 0], [0, 0], [0, 2], [2, 0], [0.5, 0.5], [1, 0]], dtype=np.float32)
#: float32 sums of a few dozen terms, in another order.
TOLERANCE = 1e-5


def save_graph(
    path: Path,
    *,
    tokens: str = "input_ids",
    mask: str | None = "attention_mask",
    token_types: str | None = None,
    element_type: int = TensorProto.INT64,
    length: Any = "T",
    is_masked: bool = True,
    output: str = "scores",
) -> Path:
    """Save a graph that sums the logits of all words."""
    names = [name for name in (tokens, mask, token_types) if name]
    nodes = [
        helper.make_node("Gather", ["weight", tokens], ["word_logits"]),
        helper.make_node("Cast", [mask or tokens], ["float_mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["float_mask", "last"], ["mask_column"]),
        helper.make_node("Mul", ["word_logits", "mask_column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked" if is_masked else "word_logits", "middle"], [output], keepdims=0),
    ]
    if token_types:
        nodes.insert(1, helper.make_node("Gather", ["weight", token_types], ["type_logits"]))
        nodes.insert(2, helper.make_node("Sub", ["word_logits", "type_logits"], ["text"]))
        nodes[5] = helper.make_node("Mul", ["text", "mask_column"], ["masked"])
    constants = [
        helper.make_tensor("weight", TensorProto.FLOAT, WEIGHT.shape, WEIGHT.ravel()),
        helper.make_tensor("last", TensorProto.INT64, [1], [2]),
        helper.make_tensor("middle", TensorProto.INT64, [1], [1]),
    ]
    inputs = [helper.make_tensor_value_info(name, element_type, ["N", length]) for name in names]
    scores = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 2])
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(
        helper.make_graph(nodes, "words", inputs, [scores], constants), opset_imports=opset, ir_version=10
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def save_folder(path: Path, *, config: dict[str, Any] | None = None, **options: Any) -> Path:
    save_graph(path / "model.onnx", **options)
    tokenizer = Tokenizer(models.WordLevel({word: code for code, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path / "tokenizer.json"))
    tokenizer_config = {"pad_token": "[PAD]", "unk_token": "[UNK]", "sep_token": "[SEP]", "model_max_length": 8}
    (path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    return path


def import_folder(
    tmp_path: Path, folder: Path, *, prefix: str = "", **options: Any
) -> tuple[dict[str, Any], Predictor]:
    report = import_model(zip_folder(folder, tmp_path / "words.zip", prefix=prefix), tmp_path / "package", **options)
    return report, Predictor.load(ModelPackage.open(tmp_path / "package"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"element_type": TensorProto.INT32},
        {"tokens": "text", "mask": "text_mask"},
        {"output": "logits"},
    ],
    ids=["names of exporters", "32 bits", "names of Plinth", "output of Plinth"],
)
def test_a_zip_of_graph_and_tokenizer_predicts(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = save_folder(tmp_path / "exported", **options)
    report, predictor = import_folder(
        tmp_path, folder, prefix="words/", task="text_classification", labels=["no", "yes"]
    )
    assert (report["format"], report["labels"]) == ("onnx", ["no", "yes"])
    assert predictor.engine == "onnxruntime"
    yes, no = predictor.predict([{"text": "good film"}, {"text": "not good not bad bad not good film film film"}])
    assert (yes["label"], no["label"]) == ("yes", "no")
    assert yes["confidence"] == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-6)
    # The second is cut to the eight tokens of tokenizer_config.json: 5.5 against 3 + 0.5.
    assert no["confidence"] == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-6)


def test_task_and_labels_are_read_from_config_json(tmp_path: Path) -> None:
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"1": "yes", "0": "no"}}
    report, predictor = import_folder(tmp_path, save_folder(tmp_path / "exported", config=config))
    assert (report["task"], report["labels"]) == ("text_classification", ["no", "yes"])
    assert predictor.predict([{"text": "bad"}])[0]["label"] == "no"


def test_token_types_are_all_zero(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "exported", token_types="token_type_ids")
    _, predictor = import_folder(tmp_path, folder, task="text_classification", labels=["no", "yes"])
    # The logits of the token 0 are subtracted, which are the same for both classes.
    [output] = predictor.predict([{"text": "good"}])
    assert output["confidence"] == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_an_exported_bert_predicts_like_the_transformers_library(tmp_path: Path) -> None:
    folder, model = folder_of(tmp_path / "exported", "bert", head=True, num_labels=3)
    encoded, expected = predict_pretrained(folder, model, TEXTS)
    model.config.return_dict = False
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        model,
        tuple(encoded[name] for name in names),
        folder / "model.onnx",
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in names},
        dynamo=False,
    )
    (folder / "model.safetensors").unlink()
    report, predictor = import_folder(tmp_path, folder, labels=["a", "b", "c"])
    assert report["task"] == "text_classification"
    outputs = predictor.predict([{"text": text} for text in TEXTS])
    probabilities = [[output["probabilities"][label] for label in "abc"] for output in outputs]
    np.testing.assert_allclose(probabilities, torch.softmax(expected.logits, dim=1).numpy(), atol=TOLERANCE)


OPTIONS: dict[str, Any] = {"task": "text_classification", "labels": ["no", "yes"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": None}, "not tokens and mask"),
        ({"tokens": "ids_of_words"}, "not tokens and mask"),
        ({"token_types": "position_ids"}, "not tokens and mask"),
        ({"length": 5}, "not tokens and mask"),
        ({"is_masked": False}, "in a batch with longer rows differ"),
    ],
    ids=["no mask", "other names", "more inputs", "fixed length", "padding that is not masked"],
)
def test_other_inputs_are_refused_with_the_expected_ones(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    folder = save_folder(tmp_path / "exported", **options)
    with pytest.raises(PackageError, match=message) as error_info:
        import_folder(tmp_path, folder, **OPTIONS)
    assert "attention_mask" in (error_info.value.hint or "")


def test_a_graph_without_tokenizer_is_refused_with_what_to_send(tmp_path: Path) -> None:
    path = save_graph(tmp_path / "exported" / "model.onnx")
    with pytest.raises(PackageError, match="tokenizer") as error_info:
        import_model(path, tmp_path / "package", **OPTIONS)
    assert "tokenizer.json" in (error_info.value.hint or "")
    with pytest.raises(PackageError, match="tokenizer"):
        import_folder(tmp_path, tmp_path / "exported", **OPTIONS)


def test_a_head_that_does_not_choose_one_class_is_refused(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "exported", config={"problem_type": "multi_label_classification"})
    with pytest.raises(PackageError, match="multi_label_classification"):
        import_folder(tmp_path, folder, **OPTIONS)


def test_an_archive_with_several_graphs_is_refused(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "exported")
    save_graph(folder / "onnx" / "model_quantized.onnx")
    with pytest.raises(PackageError, match=r"several graphs: model\.onnx, onnx/model_quantized\.onnx"):
        import_folder(tmp_path, folder, **OPTIONS)
