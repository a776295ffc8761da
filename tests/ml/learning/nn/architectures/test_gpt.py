from typing import get_args

import pytest
import torch

from ml.errors import SpecError
from ml.learning.nn.architectures.base import BackboneState
from ml.learning.nn.architectures.gpt import ATTENTION, GPT, GPTConfig
from ml.signals import Feature

SHAPE = {"vocabulary": 11, "length": 12}
FAMILIES = get_args(GPTConfig.model_fields["family"].annotation)


def _build(**config: object) -> GPT:
    torch.manual_seed(0)
    return GPT(
        GPTConfig.model_validate({"family": "gpt2", "width": 16, "layers": 2, "heads": 4, **config}), shape=SHAPE
    ).eval()


def test_the_preset_gpt2_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        backbone = GPT(GPT.configure({"preset": "gpt2"}), shape=GPT.usual_shape)
    # 50257 x 768 and 1024 x 768 of embeddings, 12 x 7,087,872 of blocks, 1,536 of the last norm; the head is tied.
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 124_439_808


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_resumes_from_its_state_and_ignores_padding(family: str) -> None:
    backbone = _build(family=family)
    tokens = torch.randint(11, (2, 8), generator=torch.manual_seed(1))
    mask = torch.tensor([[True] * 8, [False] * 3 + [True] * 5])
    empty = tuple(torch.zeros(2, heads, 0, width) for heads, width in backbone.widths.state)
    state = BackboneState(empty, torch.zeros(2, 0, dtype=torch.bool))
    with torch.no_grad():
        _, state = backbone.resume(tokens[:, :6], mask[:, :6], state)
        features, _ = backbone.resume(tokens[:, 6:], mask[:, 6:], state)
        expected = torch.cat([backbone(tokens[:1])[Feature.POOLED][0], backbone(tokens[1:, 3:])[Feature.POOLED][0]])
    torch.testing.assert_close(features[Feature.POOLED][0], expected, rtol=1e-4, atol=1e-5)


def test_several_query_heads_may_share_keys_and_values() -> None:
    backbone = _build(family="llama", options={"num_key_value_heads": 2})
    tokens = torch.randint(11, (2, 8), generator=torch.manual_seed(1))
    mask = torch.ones_like(tokens, dtype=torch.bool)
    empty = tuple(torch.zeros(2, heads, 0, width) for heads, width in backbone.widths.state)
    with torch.no_grad():
        _, state = backbone.resume(tokens[:, :5], mask[:, :5], BackboneState(empty, mask[:, :0]))
        features, _ = backbone.resume(tokens[:, 5:], mask[:, 5:], state)
        expected = backbone(tokens)[Feature.CAUSAL][0][:, 5:]
    torch.testing.assert_close(features[Feature.CAUSAL][0], expected, rtol=1e-4, atol=1e-5)


def test_options_of_the_family_take_precedence() -> None:
    grouped = _build(family="llama", options={"num_key_value_heads": 2, "intermediate_size": 24})
    assert grouped.settings.intermediate_size == 24
    assert grouped.widths.state == ((2, 4),) * 2 * 2  # heads and the width of each; keys and values; layers


def test_an_attention_window_shorter_than_the_text_length_is_refused() -> None:
    with pytest.raises(SpecError, match="one of 8 tokens"):
        _build(family="mistral", options={"sliding_window": 8})


def test_the_token_embedding_is_a_parameter_of_the_backbone() -> None:
    backbone = _build()
    embedding = backbone.token_embedding()
    assert embedding.shape == (11, 16)
    assert any(parameter is embedding for parameter in backbone.parameters())


def test_options_select_sizes_and_never_code() -> None:
    code = {"auto_map": {"AutoModel": "x--y.Z"}, "attn_implementation": "some/kernel", "quantization_config": {}}
    options = {"rope_theta": 500.0, "use_cache": True, **code}
    settings = GPT(GPTConfig(family="llama", width=8, heads=2, layers=1, options=options), shape=SHAPE).settings
    assert settings.rope_parameters["rope_theta"] == 500.0
    assert settings._attn_implementation == ATTENTION
    assert not hasattr(settings, "auto_map")
