"""Tiny random decoders generate the same in the transformers library and here, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from ml.errors import PackageError
from ml.inference.predictor import Predictor
from ml.learning.export.torch_runner import load_network
from ml.learning.interchange.exporter import export_model
from ml.learning.interchange.families.gpt import GPTFamily
from ml.learning.interchange.import_huggingface import compare_outputs
from ml.learning.interchange.importer import import_model
from ml.package.package import ModelPackage
from tests.support.ml.model_folders import zip_folder

#: float32 sums of a few dozen terms, in another order.
TOLERANCE = 1e-5
END = "<|endoftext|>"
TEXTS = ["Once upon", "A much longer text than the other one, to be filled up.", "x"]
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 80,
}
#: Sizes that a family has under other names, or in addition.
OWN_SIZES: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 6},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
}
#: Families whose output embedding has a bias.
WITH_OUTPUT_BIAS = {"phi"}


def make_tokenizer() -> Any:
    """Return a tokenizer with one token per byte."""
    vocabulary = {character: code for code, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab={**vocabulary, END: len(vocabulary)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, bos_token=END, unk_token=END)


def folder_of(path: Path, family: str, *, head: bool, scale: float = 0.2, **config: Any) -> tuple[Path, Any]:
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    sizes = {"vocab_size": len(tokenizer), **SIZES, **OWN_SIZES.get(family, {}), **config}
    settings = transformers.AutoConfig.for_model(family, **sizes)
    model = (transformers.AutoModelForCausalLM if head else transformers.AutoModel).from_config(settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path, model


@pytest.mark.parametrize("family", sorted(GPTFamily.model_types))
def test_a_base_model_predicts_the_same_embeddings(tmp_path: Path, family: str) -> None:
    folder, model = folder_of(tmp_path / "pretrained", family, head=False)
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert report["transfer"]["dropped"] == []
    package = ModelPackage.open(tmp_path / "package")
    assert package.manifest.graphs, package.manifest.no_graph_reason
    outputs = Predictor.load(package).predict([{"text": text} for text in TEXTS])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text, output in zip(TEXTS, outputs, strict=True):
        with torch.no_grad():
            expected = model(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0, -1]
        np.testing.assert_allclose(output["embedding"], expected.numpy(), atol=TOLERANCE)
    assert export_model(tmp_path / "package", tmp_path / "out")["class"] == "AutoModel"
    exported = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    tokens = torch.tensor([tokenizer(TEXTS[1])["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(exported(tokens)[0], model(tokens)[0], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("family", "is_tied"),
    [(family, index % 2 == 0) for index, family in enumerate(sorted(GPTFamily.model_types - WITH_OUTPUT_BIAS))],
)
def test_a_causal_language_model_generates_the_same_after_import_and_export(
    tmp_path: Path, family: str, is_tied: bool
) -> None:
    folder, model = folder_of(tmp_path / "pretrained", family, head=True, tie_word_embeddings=is_tied)
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert report["task"] == "text_generation"
    package = ModelPackage.open(tmp_path / "package")
    predictor = Predictor.load(package)
    [output] = predictor.predict([{"prompt": TEXTS[0], "max_new_tokens": 12, "temperature": 0}])
    # A text begins after the end token of the previous one.
    tokens = torch.tensor([transformers.AutoTokenizer.from_pretrained(folder)(END + TEXTS[0])["input_ids"]])
    with torch.no_grad():
        generated = model.generate(tokens, max_new_tokens=12, do_sample=False, pad_token_id=0)[0, tokens.shape[1] :]
    text_tokens = [int(token) for token in generated if int(token) != tokens[0, 0]]
    assert output["text"] == transformers.AutoTokenizer.from_pretrained(folder).decode(text_tokens)

    exported_report = export_model(tmp_path / "package", tmp_path / "out")
    assert exported_report["class"] == "AutoModelForCausalLM"
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert exported.config.tie_word_embeddings is is_tied
    with torch.no_grad():
        torch.testing.assert_close(exported(tokens).logits, model(tokens).logits, atol=TOLERANCE, rtol=0)


def rewrite_config(folder: Path, *, without: tuple[str, ...] = (), **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    content = {name: value for name, value in config.items() if name not in without} | settings
    (folder / "config.json").write_text(json.dumps(content))


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {"rope_theta": 100.0}),
        ("mistral", {"rope_theta": 100.0}),
        ("qwen2", {"rope_theta": 10_000.0, "rope_scaling": {"type": "linear", "factor": 4.0}}),
        ("qwen3", {"rope_theta": 10_000.0, "rope_scaling": {"type": "yarn", "factor": 4.0}}),
        ("llama", {"rope_theta": 500.0, "rope_scaling": {**LLAMA3, "original_max_position_embeddings": 32}}),
        ("gpt_neox", {"rotary_pct": 0.5, "rotary_emb_base": 100}),
        ("phi", {"rope_theta": 100.0, "partial_rotary_factor": 1.0}),
    ],
)
def test_rotary_settings_of_older_files_are_honored(tmp_path: Path, family: str, settings: dict[str, Any]) -> None:
    wide_heads = {"hidden_size": 32, "num_attention_heads": 2, **({"head_dim": 16} if family == "qwen3" else {})}
    folder, default_model = folder_of(tmp_path / "pretrained", family, head=False, scale=0.6, **wide_heads)
    rewrite_config(folder, without=("rope_parameters",), **settings)
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert report["max_abs_difference"] < 1e-4
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = torch.tensor([transformers.AutoTokenizer.from_pretrained(folder)(TEXTS[1])["input_ids"]])
    with torch.no_grad():
        expected = model(tokens).last_hidden_state[0, -1]
        assert float((default_model(tokens).last_hidden_state[0, -1] - expected).abs().max()) > 0.01
    [output] = Predictor.load(ModelPackage.open(tmp_path / "package")).predict([{"text": TEXTS[1]}])
    np.testing.assert_allclose(output["embedding"], expected.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("family", "settings", "name"),
    [
        ("llama", {"rope_parameters": {"rope_type": "longrope", "factor": 2.0, "rope_theta": 1e4}}, "longrope"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ("gpt_neox", {"rope_theta": 500.0}, "rope_theta"),
        ("gpt2", {"rope_theta": 500.0}, "rope_theta"),
        ("llama", {"hidden_act": "gelu_of_tomorrow"}, "hidden_act 'gelu_of_tomorrow'"),
        ("gpt2", {"hidden_act": "relu"}, "hidden_act of config.json"),
        ("opt", {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, "rope_parameters.factor"),
        ("llama", {"final_logit_softcapping": 30.0, "attn_logit_softcapping": None}, "final_logit_softcapping = 30.0"),
        ("qwen2", {"residual_multiplier": 0.2}, "residual_multiplier = 0.2"),
        ("mistral", {"alibi": True, "logit_scale": 1.0}, "alibi = True"),
        ("gpt2", {"scale_attn_weights": True, "rms_norm_eps": 0.5}, "rms_norm_eps = 0.5"),
        ("llama", {"scale_attn_weights": False}, "scale_attn_weights = False"),
    ],
)
def test_a_setting_that_the_network_does_not_have_is_refused_by_name(
    tmp_path: Path, family: str, settings: dict[str, Any], name: str
) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", family, head=False)
    rewrite_config(folder, **settings)
    with pytest.raises(PackageError, match=name):
        import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_a_setting_that_nothing_reads_is_listed_unless_it_is_one_of_training_or_generation(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "llama", head=False)
    rewrite_config(folder, temperature=0.6, gradient_checkpointing=True, alibi=False, logit_scale=1, my_kernel="fast")
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert report["notes"] == [
        "settings of config.json that the transformers library does not use for llama: my_kernel"
    ]


def test_weights_with_an_output_embedding_that_is_said_to_be_tied_are_refused(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "llama", head=True, tie_word_embeddings=False)
    rewrite_config(folder, tie_word_embeddings=True)
    with pytest.raises(PackageError, match=r"tie_word_embeddings of config\.json is true"):
        import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_texts_are_cut_to_the_window_of_attention_with_a_note(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "mistral", head=False, sliding_window=20)
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert any("sliding_window" in note for note in report["notes"])
    assert ModelPackage.open(tmp_path / "package").encoders()["text"].shape()["length"] == 20


@pytest.mark.parametrize("mode", ["lasttoken", "mean"])
def test_a_decoder_of_sentence_transformers_is_pooled_by_its_last_token_or_refused(tmp_path: Path, mode: str) -> None:
    folder, _ = folder_of(tmp_path / "pretrained", "llama", head=False)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": mode}))
    archive = zip_folder(folder, tmp_path / "m.zip")
    if mode == "lasttoken":
        assert import_model(archive, tmp_path / "package")["task"] is None
    else:
        with pytest.raises(PackageError, match="mean; supported: lasttoken"):
            import_model(archive, tmp_path / "package")


def test_a_network_with_other_outputs_than_the_library_is_refused(tmp_path: Path) -> None:
    folder, model = folder_of(tmp_path / "pretrained", "llama", head=False)
    import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    package = ModelPackage.open(tmp_path / "package")
    subject = (load_network(package), package.manifest.architectures["text"], package.encoders()["text"])
    assert compare_outputs(GPTFamily, model, *subject) < TOLERANCE
    with torch.no_grad():
        model.norm.weight += 0.01
    with pytest.raises(PackageError, match="differ from those of the transformers library"):
        compare_outputs(GPTFamily, model, *subject)
