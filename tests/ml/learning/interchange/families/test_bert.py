"""Tiny random encoders predict the same in the transformers library and here, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from ml.encoders.text import TextEncoder
from ml.errors import PackageError
from ml.inference.predictor import Predictor
from ml.learning.interchange.exporter import export_model
from ml.learning.interchange.families.bert import HEADS
from ml.learning.interchange.importer import import_model
from ml.package.package import ModelPackage
from tests.support.ml.model_folders import zip_folder

#: float32 sums of a few dozen terms, in another order.
TOLERANCE = 1e-5
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
#: Sizes that a family has under other names, or in addition.
OWN_SIZES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 20},
    "electra": {"embedding_size": 8},
    # The library counts its positions from this number, whatever the configuration says.
    "mpnet": {"pad_token_id": 1},
}


def folder_of(path: Path, family: str, *, head: bool, **config: Any) -> tuple[Path, Any]:
    """Save a model with large random weights, and a tokenizer of a few words."""
    torch.manual_seed(0)
    model_config = transformers.AutoConfig.for_model(family, **{**SIZES, **OWN_SIZES.get(family, {}), **config})
    model = (
        (transformers.AutoModelForSequenceClassification if head else transformers.AutoModel)
        .from_config(model_config)
        .eval()
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(path)
    padding = model_config.pad_token_id
    words = [*WORDS[1 : padding + 1], WORDS[0], *WORDS[padding + 1 :]]
    (path / "vocab.txt").write_text("\n".join(words) + "\n")
    (path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 24})
    )
    return path, model


def predict_pretrained(folder: Path, model: Any, texts: list[str]) -> Any:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    with torch.no_grad():
        return encoded, model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])


def predict(package: Path, texts: list[str], **parameters: Any) -> list[dict[str, Any]]:
    return Predictor.load(ModelPackage.open(package)).predict([{"text": text} for text in texts], parameters=parameters)


def pool_mean(encoded: Any, outputs: Any) -> torch.Tensor:
    weight = encoded["attention_mask"][..., None].float()
    return (outputs.last_hidden_state * weight).sum(dim=1) / weight.sum(dim=1)


@pytest.mark.parametrize("family", sorted(HEADS))
def test_a_base_model_predicts_the_same_embeddings(tmp_path: Path, family: str) -> None:
    folder, model = folder_of(tmp_path / "pretrained", family, head=False)
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    manifest = ModelPackage.open(tmp_path / "package").manifest
    assert manifest.graphs, manifest.no_graph_reason
    assert manifest.task is None
    assert report["transfer"]["dropped"] == []
    encoded, outputs = predict_pretrained(folder, model, TEXTS)
    has_pooler = "pooler_output" in outputs
    assert manifest.architectures["text"].config["pooling"] == ("pooler" if has_pooler else "mean")
    expected = outputs.pooler_output if has_pooler else pool_mean(encoded, outputs)
    embeddings = [output["embedding"] for output in predict(tmp_path / "package", TEXTS)]
    np.testing.assert_allclose(embeddings, expected.numpy(), atol=TOLERANCE)


@pytest.mark.parametrize("family", sorted(HEADS))
def test_a_classifier_keeps_the_order_of_its_labels_in_import_and_export(tmp_path: Path, family: str) -> None:
    labels = {0: "so-so", 1: "bad", 2: "good"}
    folder, model = folder_of(tmp_path / "pretrained", family, head=True, id2label=labels)
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert (report["task"], report["labels"]) == ("text_classification", ["so-so", "bad", "good"])
    _, outputs = predict_pretrained(folder, model, TEXTS)
    expected = outputs.logits.softmax(dim=1).numpy()
    for output, row in zip(predict(tmp_path / "package", TEXTS), expected, strict=True):
        assert output["probabilities"] == pytest.approx(dict(zip(labels.values(), row, strict=True)), abs=TOLERANCE)

    report = export_model(tmp_path / "package", tmp_path / "out")
    assert report["class"] == "AutoModelForSequenceClassification"
    exported = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert exported.config.id2label == labels
    _, exported_outputs = predict_pretrained(tmp_path / "out", exported, TEXTS)
    np.testing.assert_allclose(exported_outputs.logits.numpy(), outputs.logits.numpy(), atol=TOLERANCE)
    assert isinstance(exported, getattr(transformers, type(model).__name__))


@pytest.mark.parametrize(("mode", "pooling"), [("mean_tokens", "mean"), ("cls_token", "first")])
def test_sentence_embeddings_have_the_pooling_of_the_folder(tmp_path: Path, mode: str, pooling: str) -> None:
    folder, model = folder_of(tmp_path / "pretrained", "bert", head=False)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True}))
    kinds = ("Transformer", "Pooling", "Normalize")
    (folder / "modules.json").write_text(
        json.dumps([{"type": f"sentence_transformers.models.{kind}"} for kind in kinds])
    )
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    package = ModelPackage.open(tmp_path / "package")
    assert package.manifest.architectures["text"].config["pooling"] == pooling
    assert package.encoders()["text"].config.max_length == 7
    assert any("length of 1" in note for note in report["notes"])
    assert report["transfer"]["dropped"] == ["pooler.dense.bias", "pooler.dense.weight"]
    short = TEXTS[:1]
    encoded, outputs = predict_pretrained(folder, model, short)
    expected = pool_mean(encoded, outputs) if pooling == "mean" else outputs.last_hidden_state[:, 0]
    np.testing.assert_allclose(
        predict(tmp_path / "package", short)[0]["embedding"], expected[0].numpy(), atol=TOLERANCE
    )

    export_model(tmp_path / "package", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "1_Pooling" / "config.json").read_text())[f"pooling_mode_{mode}"] is True
    _, exported_outputs = predict_pretrained(
        tmp_path / "out", transformers.AutoModel.from_pretrained(tmp_path / "out").eval(), short
    )
    torch.testing.assert_close(exported_outputs.last_hidden_state, outputs.last_hidden_state, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("lower", [True, False])
def test_a_vocabulary_file_becomes_a_tokenizer_with_do_lower_case(tmp_path: Path, lower: bool) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    tokenizer_config = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower, "model_max_length": 24}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    encoder = ModelPackage.open(tmp_path / "package").encoders()["text"]
    assert isinstance(encoder, TextEncoder)
    unknown = WORDS.index("[UNK]")
    good = WORDS.index("good") if lower else unknown
    assert encoder.encode(["GOOD film"])[0].tolist() == [2, good, WORDS.index("film"), 3]
    assert encoder.tokens == {"padding": 0, "unknown": 1, "begin": 2, "end": 3, "mask": 4}


@pytest.mark.parametrize(
    "settings",
    [
        {"do_lower_case": False},
        {"tokenizer_class": "BertTokenizer", "strip_accents": False},
        {"added_tokens_decoder": {"15": {"content": "<x>", "rstrip": True, "special": False}}},
        None,
    ],
)
def test_a_tokenizer_splits_texts_as_in_the_library_whatever_file_says_how(
    tmp_path: Path, settings: dict[str, Any] | None
) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    (folder / "vocab.txt").write_text("\n".join([*WORDS[:-2], "café", "Good"]) + "\n")
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    (folder / "vocab.txt").unlink(missing_ok=True)
    if settings is None:
        (folder / "added_tokens.json").write_text('{"<x>": 15}')
    (folder / "tokenizer_config.json").write_text(json.dumps(settings or {}))
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert any("does not split texts as tokenizer.json alone" in note for note in report["notes"])
    encoder = ModelPackage.open(tmp_path / "package").encoders()["text"]
    library = transformers.AutoTokenizer.from_pretrained(folder)
    texts = ["a café, Good <x> film", "quiet<x> films"]
    assert [row.tolist() for row in encoder.encode(texts)] == library(texts)["input_ids"]


def test_texts_are_in_lower_case_where_sentence_transformers_writes_them_so(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": false}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 7, "do_lower_case": true}')
    prompts = {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    encoder = ModelPackage.open(tmp_path / "package").encoders()["text"]
    assert encoder.encode(["GOOD film"])[0].tolist() == [2, WORDS.index("good"), WORDS.index("film"), 3]
    assert any("lower case" in note for note in report["notes"])
    assert any("'query: '" in note for note in report["notes"])


def test_a_tokenizer_is_exported_unchanged(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    content = (folder / "tokenizer.json").read_text()
    import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert (tmp_path / "package" / "encoders" / "text" / "tokenizer.json").read_text() == content
    export_model(tmp_path / "package", tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").read_text() == content
    exported, original = (
        transformers.AutoTokenizer.from_pretrained(tmp_path / "out"),
        transformers.AutoTokenizer.from_pretrained(folder),
    )
    assert exported(TEXTS)["input_ids"] == original(TEXTS)["input_ids"]
    assert (exported.pad_token, exported.cls_token, exported.mask_token) == ("[PAD]", "[CLS]", "[MASK]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 5}, "shapes"),
        ({"num_hidden_layers": 3}, "lack"),
        ({"hidden_size": 15}, "shapes"),
        ({"num_attention_heads": 5}, "config.json|cannot load"),
        ({"is_decoder": True}, "encoders"),
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(PackageError, match=message):
        import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_an_mpnet_with_another_padding_token_is_refused(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "mpnet", head=False, pad_token_id=0)
    with pytest.raises(PackageError, match="pad_token_id of mpnet must be 1, not 0"):
        import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_a_tokenizer_larger_than_the_vocabulary_of_the_network_is_refused(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    (folder / "vocab.txt").write_text("\n".join([*WORDS, "three", "more", "words"]) + "\n")
    with pytest.raises(PackageError, match="18 tokens, but the vocabulary of the network has 17"):
        import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    (folder / "vocab.txt").unlink()
    with pytest.raises(PackageError, match="no tokenizer"):
        import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")


@pytest.mark.parametrize(
    ("path", "fields", "pooling"),
    [
        ("1_Pooling", {"embedding_dimension": 12, "pooling_mode": "cls", "include_prompt": True}, "first"),
        ("2_Pool", {"embedding_dimension": 12, "pooling_mode": ["mean"]}, "mean"),
        ("1_Pooling", {"pooling_mode": "max"}, None),
        ("1_Pooling", {"pooling_mode": ["cls", "mean"]}, None),
        ("1_Pooling", {"pooling_mode": "mean_sqrt_len_tokens"}, None),
        ("1_Pooling", {"pooling_mode": "weightedmean"}, None),
        ("1_Pooling", {"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, None),
        ("1_Pooling", {"pooling_mode_max_tokens": True}, None),
        ("1_Pooling", {"pooling_mode_median_tokens": True}, None),
    ],
)
def test_a_pooling_is_honored_or_refused_by_name(
    tmp_path: Path, path: str, fields: dict[str, Any], pooling: str | None
) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    (folder / path).mkdir()
    (folder / path / "config.json").write_text(json.dumps(fields))
    modules = [{"path": "", "type": "x.Transformer"}, {"path": path, "type": "x.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    archive = zip_folder(folder, tmp_path / "m.zip")
    if pooling is None:
        with pytest.raises(PackageError, match=r"the pooling of 1_Pooling/config\.json is not supported"):
            import_model(archive, tmp_path / "package")
    else:
        import_model(archive, tmp_path / "package")
        manifest = ModelPackage.open(tmp_path / "package").manifest
        assert manifest.architectures["text"].config["pooling"] == pooling


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", [{"path": "1_LSTM", "type": "sentence_transformers.models.LSTM"}], "LSTM"),
        ("modules.json", [{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}], r"\(Dense of modules"),
        ("tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "truncation_side": "left"}, "truncation_side"),
        ("config_sentence_transformers.json", {"prompts": {"q": "query: "}, "default_prompt_name": "q"}, "'query: '"),
    ],
)
def test_a_module_or_prompt_that_is_not_supported_is_refused_by_name(
    tmp_path: Path, file: str, content: Any, message: str
) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(PackageError, match=message):
        import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_two_numbers_of_labels_are_refused(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=True, id2label={0: "bad", 1: "good"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_labels": 3}))
    with pytest.raises(PackageError, match=r"num_labels of config\.json is 3, but id2label has 2 names"):
        import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")


@pytest.mark.parametrize(
    ("family", "settings", "name"),
    [
        ("roberta", {"position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key'"),
        ("distilbert", {"layer_norm_eps": 0.5}, r"layer_norm_eps = 0\.5"),
        ("bert", {"pruned_heads": {"0": [1]}}, "pruned_heads"),
    ],
)
def test_a_setting_that_the_library_ignores_is_refused_by_name(
    tmp_path: Path, family: str, settings: dict[str, Any], name: str
) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", family, head=False)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    with pytest.raises(PackageError, match=f"does not use these settings of config.json for {family}: {name}"):
        import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_feed_forward_networks_in_chunks_are_read_at_once(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=False)
    config = json.loads((folder / "config.json").read_text())
    settings = {"chunk_size_feed_forward": 4, "position_embedding_type": "absolute", "pruned_heads": {}}
    (folder / "config.json").write_text(json.dumps(config | settings))
    assert import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")["max_abs_difference"] < TOLERANCE


@pytest.mark.parametrize(
    ("changes", "labels", "note"),
    [
        ({"label2id": {"good": 0, "bad": 1}}, ["bad", "good"], "0 is 'good' and 'bad'"),
        ({"id2label": None, "label2id": {"good": 1, "so-so": 0}}, ["so-so", "good"], "those of label2id"),
    ],
)
def test_labels_of_two_orders_or_of_label2id_alone_are_reported(
    tmp_path: Path, changes: dict[str, Any], labels: list[str], note: str
) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "bert", head=True, id2label={0: "bad", 1: "good"})
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({name: value for name, value in config.items() if value}))
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert report["labels"] == labels
    assert note in report["notes"][0]
