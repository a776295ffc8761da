"""Encoders of Hugging Face's, tiny and random, answer alike here; and ours there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from ml.encoders.text import TextEncoder
from ml.errors import PackageError
from ml.inference.predictor import Predictor
from ml.learning.interchange.exporter import export_model
from ml.learning.interchange.families.bert import HEADS
from ml.learning.interchange.importer import import_model
from ml.package.package import ModelPackage
from tests.support.ml.model_folders import zipped

#: float32 sums of a few dozen terms, in another order.
CLOSE = 1e-5
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "quiet",
    "film",
    "good",
    "not",
    "##s",
    "mov",
    "##ing",
    ".",
    ",",
]
TEXTS = ["A quiet film.", "not good, not good, not a GOOD moving film", "films"]
SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS) + 2,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
#: What a family calls by other names, or has beside.
OWN: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 20},
    "electra": {"embedding_size": 8},
    # The library counts its positions from this number, whatever the configuration says.
    "mpnet": {"pad_token_id": 1},
}


def folder_of(path: Path, family: str, *, head: bool, **config: Any) -> tuple[Path, Any]:
    """A model whose every weight counts, and a tokenizer of a few words."""
    torch.manual_seed(0)
    said = AutoConfig.for_model(family, **{**SIZES, **OWN.get(family, {}), **config})
    model = (AutoModelForSequenceClassification if head else AutoModel).from_config(said).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(path)
    padding = said.pad_token_id
    words = [*WORDS[1 : padding + 1], WORDS[0], *WORDS[padding + 1 :]]
    (path / "vocab.txt").write_text("\n".join(words) + "\n")
    (path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 24})
    )
    return path, model


def asked_there(folder: Path, model: Any, texts: list[str]) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    read = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    with torch.no_grad():
        return read, model(input_ids=read["input_ids"], attention_mask=read["attention_mask"])


def answers(package: Path, texts: list[str], **parameters: Any) -> list[dict[str, Any]]:
    return Predictor.load(ModelPackage.open(package)).predict([{"text": text} for text in texts], parameters=parameters)


def mean(read: Any, answer: Any) -> torch.Tensor:
    weight = read["attention_mask"][..., None].float()
    return (answer.last_hidden_state * weight).sum(dim=1) / weight.sum(dim=1)


@pytest.mark.parametrize("family", sorted(HEADS))
def test_a_base_model_gives_the_same_embeddings(tmp_path: Path, family: str) -> None:
    folder, model = folder_of(tmp_path / "theirs", family, head=False)
    report = import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")
    manifest = ModelPackage.open(tmp_path / "package").manifest
    assert manifest.graphs, manifest.no_graph_reason
    assert manifest.task is None
    assert report["transfer"]["dropped"] == []
    read, there = asked_there(folder, model, TEXTS)
    has_pooler = "pooler_output" in there
    assert manifest.architectures["text"].config["pooling"] == ("pooler" if has_pooler else "mean")
    expected = there.pooler_output if has_pooler else mean(read, there)
    found = [each["embedding"] for each in answers(tmp_path / "package", TEXTS)]
    np.testing.assert_allclose(found, expected.numpy(), atol=CLOSE)


@pytest.mark.parametrize("family", sorted(HEADS))
def test_a_classifier_comes_in_and_goes_out_with_its_labels_in_their_order(tmp_path: Path, family: str) -> None:
    labels = {0: "so-so", 1: "bad", 2: "good"}
    folder, model = folder_of(tmp_path / "theirs", family, head=True, id2label=labels)
    report = import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert (report["task"], report["labels"]) == ("text_classification", ["so-so", "bad", "good"])
    _, there = asked_there(folder, model, TEXTS)
    expected = there.logits.softmax(dim=1).numpy()
    for answer, row in zip(answers(tmp_path / "package", TEXTS), expected, strict=True):
        assert answer["probabilities"] == pytest.approx(dict(zip(labels.values(), row, strict=True)), abs=CLOSE)

    sent = export_model(tmp_path / "package", tmp_path / "out")
    assert sent["class"] == "AutoModelForSequenceClassification"
    back = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert back.config.id2label == labels
    _, again = asked_there(tmp_path / "out", back, TEXTS)
    np.testing.assert_allclose(again.logits.numpy(), there.logits.numpy(), atol=CLOSE)
    assert isinstance(back, getattr(transformers, type(model).__name__))


@pytest.mark.parametrize(("mode", "pooling"), [("mean_tokens", "mean"), ("cls_token", "first")])
def test_sentence_embeddings_are_pooled_as_the_folder_says(tmp_path: Path, mode: str, pooling: str) -> None:
    folder, model = folder_of(tmp_path / "theirs", "bert", head=False)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True}))
    kinds = ("Transformer", "Pooling", "Normalize")
    (folder / "modules.json").write_text(
        json.dumps([{"type": f"sentence_transformers.models.{kind}"} for kind in kinds])
    )
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    report = import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")
    package = ModelPackage.open(tmp_path / "package")
    assert package.manifest.architectures["text"].config["pooling"] == pooling
    assert package.encoders()["text"].config.max_length == 7
    assert any("length of 1" in note for note in report["notes"])
    assert report["transfer"]["dropped"] == ["pooler.dense.bias", "pooler.dense.weight"]
    short = TEXTS[:1]
    read, there = asked_there(folder, model, short)
    expected = mean(read, there) if pooling == "mean" else there.last_hidden_state[:, 0]
    np.testing.assert_allclose(answers(tmp_path / "package", short)[0]["embedding"], expected[0].numpy(), atol=CLOSE)

    export_model(tmp_path / "package", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "1_Pooling" / "config.json").read_text())[f"pooling_mode_{mode}"] is True
    read, again = asked_there(tmp_path / "out", AutoModel.from_pretrained(tmp_path / "out").eval(), short)
    torch.testing.assert_close(again.last_hidden_state, there.last_hidden_state, atol=CLOSE, rtol=0)


@pytest.mark.parametrize("lower", [True, False])
def test_a_list_of_words_becomes_a_tokenizer_that_heeds_case(tmp_path: Path, lower: bool) -> None:
    folder, _ = folder_of(tmp_path / "theirs", "bert", head=False)
    said = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower, "model_max_length": 24}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")
    encoder = ModelPackage.open(tmp_path / "package").encoders()["text"]
    assert isinstance(encoder, TextEncoder)
    unknown = WORDS.index("[UNK]")
    good = WORDS.index("good") if lower else unknown
    assert encoder.encode(["GOOD film"])[0].tolist() == [2, good, WORDS.index("film"), 3]
    assert encoder.tokens == {"padding": 0, "unknown": 1, "begin": 2, "end": 3, "mask": 4}


def test_a_tokenizer_goes_out_as_it_came_in(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "theirs", "bert", head=False)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    content = (folder / "tokenizer.json").read_text()
    import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert (tmp_path / "package" / "encoders" / "text" / "tokenizer.json").read_text() == content
    export_model(tmp_path / "package", tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").read_text() == content
    there, here = AutoTokenizer.from_pretrained(tmp_path / "out"), AutoTokenizer.from_pretrained(folder)
    assert there(TEXTS)["input_ids"] == here(TEXTS)["input_ids"]
    assert (there.pad_token, there.cls_token, there.mask_token) == ("[PAD]", "[CLS]", "[MASK]")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vocab_size": 5}, "shapes"),
        ({"num_hidden_layers": 3}, "lack"),
        ({"hidden_size": 15}, "shapes"),
        ({"num_attention_heads": 5}, "config.json|cannot be"),
        ({"is_decoder": True}, "encoders"),
    ],
)
def test_what_does_not_hold_together_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    folder, _ = folder_of(tmp_path / "theirs", "bert", head=False)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(PackageError, match=told):
        import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_an_mpnet_that_the_library_itself_would_misread_is_refused(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "theirs", "mpnet", head=False, pad_token_id=0)
    with pytest.raises(PackageError, match="pad_token_id of 1"):
        import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_a_tokenizer_of_more_words_than_the_network_knows_is_refused(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "theirs", "bert", head=False)
    (folder / "vocab.txt").write_text("\n".join([*WORDS, "three", "more", "words"]) + "\n")
    with pytest.raises(PackageError, match="18 tokens, and the network knows 17"):
        import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "theirs", "bert", head=False)
    (folder / "vocab.txt").unlink()
    with pytest.raises(PackageError, match="no tokenizer"):
        import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")
