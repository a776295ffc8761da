"""A graph that tells texts apart comes with its tokenizer, as exporters write both, and answers as it did there."""

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
from tests.ml.learning.interchange.test_bert import TEXTS, asked_there, folder_of
from tests.support.ml.model_folders import zipped

WORDS = ["[PAD]", "[UNK]", "[SEP]", "good", "bad", "film", "not"]
#: Of each word for no and yes; padding would speak loudest, were it heeded.
WEIGHT = np.array([[9, 9], [0, 0], [0, 0], [0, 2], [2, 0], [0.5, 0.5], [1, 0]], dtype=np.float32)
#: float32 sums of a few dozen terms, in another order.
CLOSE = 1e-5


def graph(
    path: Path,
    *,
    tokens: str = "input_ids",
    mask: str | None = "attention_mask",
    kinds: str | None = None,
    kind: int = TensorProto.INT64,
    length: Any = "T",
    heeds: bool = True,
    output: str = "scores",
) -> Path:
    """The sum of what each real word says for a class."""
    names = [name for name in (tokens, mask, kinds) if name]
    nodes = [
        helper.make_node("Gather", ["weight", tokens], ["said"]),
        helper.make_node("Cast", [mask or tokens], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "last"], ["real_column"]),
        helper.make_node("Mul", ["said", "real_column"], ["heard"]),
        helper.make_node("ReduceSum", ["heard" if heeds else "said", "middle"], [output], keepdims=0),
    ]
    if kinds:
        nodes.insert(1, helper.make_node("Gather", ["weight", kinds], ["of_kind"]))
        nodes.insert(2, helper.make_node("Sub", ["said", "of_kind"], ["text"]))
        nodes[5] = helper.make_node("Mul", ["text", "real_column"], ["heard"])
    constants = [
        helper.make_tensor("weight", TensorProto.FLOAT, WEIGHT.shape, WEIGHT.ravel()),
        helper.make_tensor("last", TensorProto.INT64, [1], [2]),
        helper.make_tensor("middle", TensorProto.INT64, [1], [1]),
    ]
    inputs = [helper.make_tensor_value_info(name, kind, ["N", length]) for name in names]
    given = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 2])
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(
        helper.make_graph(nodes, "words", inputs, [given], constants), opset_imports=opset, ir_version=10
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def folder(path: Path, *, config: dict[str, Any] | None = None, **options: Any) -> Path:
    graph(path / "model.onnx", **options)
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path / "tokenizer.json"))
    said = {"pad_token": "[PAD]", "unk_token": "[UNK]", "sep_token": "[SEP]", "model_max_length": 8}
    (path / "tokenizer_config.json").write_text(json.dumps(said))
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    return path


def brought(tmp_path: Path, theirs: Path, *, below: str = "", **asked: Any) -> tuple[dict[str, Any], Predictor]:
    report = import_model(zipped(theirs, tmp_path / "words.zip", below=below), tmp_path / "package", **asked)
    return report, Predictor.load(ModelPackage.open(tmp_path / "package"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kind": TensorProto.INT32},
        {"tokens": "text", "mask": "text_mask"},
        {"output": "logits"},
    ],
    ids=["as exporters name them", "of 32 bits", "by our own names", "with our output"],
)
def test_a_zip_of_graph_and_tokenizer_answers(tmp_path: Path, options: dict[str, Any]) -> None:
    theirs = folder(tmp_path / "theirs", **options)
    report, predictor = brought(tmp_path, theirs, below="words/", task="text_classification", labels=["no", "yes"])
    assert (report["format"], report["labels"]) == ("onnx", ["no", "yes"])
    assert predictor.engine == "onnxruntime"
    yes, no = predictor.predict([{"text": "good film"}, {"text": "not good not bad bad not good film film film"}])
    assert (yes["label"], no["label"]) == ("yes", "no")
    assert yes["confidence"] == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-6)
    # The second is cut to the eight tokens that tokenizer_config.json tells: 5.5 against 3 + 0.5.
    assert no["confidence"] == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-6)


def test_purpose_and_labels_may_stand_in_its_config(tmp_path: Path) -> None:
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"1": "yes", "0": "no"}}
    report, predictor = brought(tmp_path, folder(tmp_path / "theirs", config=config))
    assert (report["task"], report["labels"]) == ("text_classification", ["no", "yes"])
    assert predictor.predict([{"text": "bad"}])[0]["label"] == "no"


def test_token_types_are_all_nought(tmp_path: Path) -> None:
    theirs = folder(tmp_path / "theirs", kinds="token_type_ids")
    _, predictor = brought(tmp_path, theirs, task="text_classification", labels=["no", "yes"])
    # What is subtracted is that of the token 0, for both classes alike.
    [answer] = predictor.predict([{"text": "good"}])
    assert answer["confidence"] == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_an_exported_bert_answers_as_its_library_does(tmp_path: Path) -> None:
    theirs, model = folder_of(tmp_path / "theirs", "bert", head=True, num_labels=3)
    read, there = asked_there(theirs, model, TEXTS)
    model.config.return_dict = False
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        model,
        tuple(read[name] for name in names),
        theirs / "model.onnx",
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in names},
        dynamo=False,
    )
    (theirs / "model.safetensors").unlink()
    report, predictor = brought(tmp_path, theirs, labels=["a", "b", "c"])
    assert report["task"] == "text_classification"
    answers = predictor.predict([{"text": text} for text in TEXTS])
    found = [[answer["probabilities"][label] for label in "abc"] for answer in answers]
    np.testing.assert_allclose(found, torch.softmax(there.logits, dim=1).numpy(), atol=CLOSE)


ASKED: dict[str, Any] = {"task": "text_classification", "labels": ["no", "yes"]}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mask": None}, "another form"),
        ({"tokens": "ids_of_words"}, "another form"),
        ({"kinds": "position_ids"}, "another form"),
        ({"length": 5}, "another form"),
        ({"heeds": False}, "otherwise beside longer ones"),
    ],
    ids=["no mask", "other names", "more inputs", "a length of its own", "padding that is heeded"],
)
def test_another_form_is_refused_with_what_is_expected(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    theirs = folder(tmp_path / "theirs", **options)
    with pytest.raises(PackageError, match=told) as refused:
        brought(tmp_path, theirs, **ASKED)
    assert "attention_mask" in (refused.value.hint or "")


def test_without_its_tokenizer_it_is_refused_with_what_to_send(tmp_path: Path) -> None:
    alone = graph(tmp_path / "theirs" / "model.onnx")
    with pytest.raises(PackageError, match="tokenizer") as refused:
        import_model(alone, tmp_path / "package", **ASKED)
    assert "tokenizer.json" in (refused.value.hint or "")
    with pytest.raises(PackageError, match="tokenizer"):
        brought(tmp_path, tmp_path / "theirs", **ASKED)


def test_a_head_that_chooses_no_class_is_refused(tmp_path: Path) -> None:
    theirs = folder(tmp_path / "theirs", config={"problem_type": "multi_label_classification"})
    with pytest.raises(PackageError, match="multi_label_classification"):
        brought(tmp_path, theirs, **ASKED)


def test_of_several_graphs_none_is_chosen(tmp_path: Path) -> None:
    theirs = folder(tmp_path / "theirs")
    graph(theirs / "onnx" / "model_quantized.onnx")
    with pytest.raises(PackageError, match=r"several graphs: model\.onnx, onnx/model_quantized\.onnx"):
        brought(tmp_path, theirs, **ASKED)
