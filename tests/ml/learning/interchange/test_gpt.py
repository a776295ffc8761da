"""Decoders of Hugging Face's, tiny and random, write alike here; and ours there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from ml.inference.predictor import Predictor
from ml.learning.interchange.exporter import export_model
from ml.learning.interchange.families.gpt import GPTFamily
from ml.learning.interchange.importer import import_model
from ml.package.package import ModelPackage
from tests.support.ml.model_folders import zipped

#: float32 sums of a few dozen terms, in another order.
CLOSE = 1e-5
END = "<|endoftext|>"
TEXTS = ["Once upon", "A much longer text than the other one, to be filled up.", "x"]
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 80,
}
#: What a family calls by other names, or has beside.
OWN: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 6},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
}
#: In the layer that tells the next token.
WITH_A_BIAS = {"phi"}


def tokenizer() -> Any:
    """One token for each byte."""
    vocabulary = {letter: code for code, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tool = Tokenizer(models.BPE(vocab={**vocabulary, END: len(vocabulary)}, merges=[]))
    tool.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tool.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tool, eos_token=END, bos_token=END, unk_token=END)


def folder_of(path: Path, family: str, *, head: bool, **config: Any) -> tuple[Path, Any]:
    torch.manual_seed(0)
    read = tokenizer()
    said = {"vocab_size": len(read), **SIZES, **OWN.get(family, {}), **config}
    settings = AutoConfig.for_model(family, **said)
    model = (AutoModelForCausalLM if head else AutoModel).from_config(settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(path)
    read.save_pretrained(path)
    return path, model


@pytest.mark.parametrize("family", sorted(GPTFamily.model_types))
def test_a_base_model_gives_the_same_embeddings(tmp_path: Path, family: str) -> None:
    folder, model = folder_of(tmp_path / "theirs", family, head=False)
    report = import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert report["transfer"]["dropped"] == []
    package = ModelPackage.open(tmp_path / "package")
    assert package.manifest.graphs, package.manifest.no_graph_reason
    found = Predictor.load(package).predict([{"text": text} for text in TEXTS])
    read = AutoTokenizer.from_pretrained(folder)
    for text, answer in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            expected = model(torch.tensor([read(text)["input_ids"]])).last_hidden_state[0, -1]
        np.testing.assert_allclose(answer["embedding"], expected.numpy(), atol=CLOSE)
    assert export_model(tmp_path / "package", tmp_path / "out")["class"] == "AutoModel"
    again = AutoModel.from_pretrained(tmp_path / "out").eval()
    tokens = torch.tensor([read(TEXTS[1])["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(again(tokens)[0], model(tokens)[0], atol=CLOSE, rtol=0)


@pytest.mark.parametrize(
    ("family", "tied"),
    [(family, number % 2 == 0) for number, family in enumerate(sorted(GPTFamily.model_types - WITH_A_BIAS))],
)
def test_a_model_that_writes_comes_in_and_goes_out_writing_the_same(tmp_path: Path, family: str, tied: bool) -> None:
    folder, model = folder_of(tmp_path / "theirs", family, head=True, tie_word_embeddings=tied)
    report = import_model(zipped(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert report["task"] == "text_generation"
    package = ModelPackage.open(tmp_path / "package")
    predictor = Predictor.load(package)
    [answer] = predictor.predict([{"prompt": TEXTS[0], "max_new_tokens": 12, "temperature": 0}])
    # A text begins behind the end of the one before.
    tokens = torch.tensor([AutoTokenizer.from_pretrained(folder)(END + TEXTS[0])["input_ids"]])
    with torch.no_grad():
        written = model.generate(tokens, max_new_tokens=12, do_sample=False, pad_token_id=0)[0, tokens.shape[1] :]
    told = [int(each) for each in written if int(each) != tokens[0, 0]]
    assert answer["text"] == AutoTokenizer.from_pretrained(folder).decode(told)

    sent = export_model(tmp_path / "package", tmp_path / "out")
    assert sent["class"] == "AutoModelForCausalLM"
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert again.config.tie_word_embeddings is tied
    with torch.no_grad():
        torch.testing.assert_close(again(tokens).logits, model(tokens).logits, atol=CLOSE, rtol=0)
