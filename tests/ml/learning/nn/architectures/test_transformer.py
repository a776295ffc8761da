import torch

from ml.config import Choice
from ml.learning.nn.architectures.transformer import Transformer, TransformerConfig
from ml.learning.nn.network import build
from ml.signals import Feature

SHAPE = {"vocabulary": 37_000, "length": 512}


def test_the_base_preset_with_a_decoder_has_the_parameters_of_the_paper() -> None:
    encoder = Choice(name="transformer", config={"preset": "base"})
    decoder = Choice(name="decoder", config={"layers": 6, "heads": 8, "feedforward": 2048})
    with torch.device("meta"):
        network = build({"text": encoder}, shapes={"text": SHAPE}, head=decoder)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    last_norm = 2 * 512  # of the decoder, which normalizes before each sublayer and not after
    # Table 3 of the paper says 65 million, rounded. By its own sizes, and with one embedding of about 37,000 tokens
    # shared by encoder, decoder and output (sections 3.4 and 5.1), it is 63.1 million; 63.6 million with the sinusoids
    # of both sides, 512 positions each, which are computed here and not stored. The other 1.4 million would be 2,700
    # more tokens: the paper gives its vocabulary only as "about 37,000".
    assert parameters - last_norm == 37_000 * 512 + 6 * 3_152_384 + 6 * 4_204_032 == 63_082_496
    assert parameters - last_norm + 2 * 512 * 512 == 63_606_784


def test_features_depend_on_the_order_of_tokens() -> None:
    torch.manual_seed(0)
    backbone = Transformer(Transformer.tiny(), shape={"vocabulary": 9, "length": 4}).eval()
    sequences = ([1, 2, 3, 4], [4, 3, 2, 1])
    forward, reversed_ = (backbone(torch.tensor([tokens]))[Feature.POOLED][0] for tokens in sequences)
    assert not torch.allclose(forward, reversed_, atol=1e-3)


def test_the_output_of_a_post_norm_network_is_normalized() -> None:
    torch.manual_seed(0)
    config = TransformerConfig(width=16, layers=1, heads=2, feed_forward=16, norm="after")
    backbone = Transformer(config, shape={"vocabulary": 9, "length": 4}).eval()
    sequence = backbone(torch.tensor([[1, 2, 3, 4]]))[Feature.SEQUENCE][0]
    torch.testing.assert_close(sequence.mean(dim=2), torch.zeros(1, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(sequence.var(dim=2, unbiased=False), torch.ones(1, 4), atol=1e-3, rtol=0)
