import pytest
import torch

from ml.config import Choice
from ml.learning.nn.architectures.transformer import Transformer, TransformerConfig
from ml.learning.nn.network import build
from ml.signals import Feature

SHAPE = {"vocabulary": 37_000, "length": 512}
IMAGENET = {"channels": 3, "height": 224, "width": 224}
GRAY = {"channels": 1, "height": 8, "width": 8}
#: Parameters with the 1,000 classes of ImageNet: DeiT-Ti and DeiT-S (Touvron et al. 2021, table 1) and ViT-B/16
#: (Dosovitskiy et al. 2020, table 1), which print 5, 22 and 86 million; exact as counted from the published weights.
VIT_PARAMETERS = {"vit_tiny": 5_717_416, "vit_small": 22_050_664, "vit_base": 86_567_656}


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


@pytest.mark.parametrize("preset", VIT_PARAMETERS)
def test_a_vision_transformer_has_the_parameters_of_its_paper(preset: str) -> None:
    encoder = Choice(name="transformer", config={"preset": preset})
    with torch.device("meta"):
        network = build(
            {"image": encoder}, shapes={"image": IMAGENET}, head=Choice(name="classifier", config={"classes": 1000})
        )
    assert sum(parameter.numel() for parameter in network.parameters()) == VIT_PARAMETERS[preset]


def test_an_image_is_pooled_at_its_class_token_or_as_the_mean_of_its_patches() -> None:
    image = torch.rand(2, 1, 8, 8)
    features = {}
    for class_token in (True, False):
        config = TransformerConfig(width=8, layers=1, heads=2, feed_forward=12, patch=4, class_token=class_token)
        features[class_token] = Transformer(config, shape=GRAY).eval()(image)
    for by_feature in features.values():
        assert by_feature[Feature.SEQUENCE][0].shape == (2, 4, 8)  # the class token is no patch
    mean = {name: by_feature[Feature.SEQUENCE][0].mean(dim=1) for name, by_feature in features.items()}
    torch.testing.assert_close(features[False][Feature.POOLED][0], mean[False])
    assert not torch.allclose(features[True][Feature.POOLED][0], mean[True], atol=1e-3)


def test_patches_of_a_causal_network_do_not_depend_on_later_ones() -> None:
    config = Transformer.tiny().model_copy(update={"causal": True})
    backbone = Transformer(config, shape=GRAY).eval()
    image = torch.rand(1, 1, 8, 8)
    changed = image.clone()
    changed[:, :, 4:, 4:] = 0  # the last of four patches
    before, after = (backbone(signal)[Feature.CAUSAL][0] for signal in (image, changed))
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3], after[:, 3], atol=1e-3)


def test_the_body_has_the_same_tensors_for_every_signal() -> None:
    shapes = (SHAPE, {"bins": 40}, IMAGENET)
    with torch.device("meta"):
        networks = [Transformer(Transformer.tiny(), shape=shape) for shape in shapes]
    bodies = [
        {name: tensor.shape for name, tensor in network.state_dict().items() if name.startswith(Transformer.body)}
        for network in networks
    ]
    assert bodies[0] == bodies[1] == bodies[2]
    assert {name.partition(".")[0] for name in networks[0].state_dict().keys() - bodies[0].keys()} == {"reader"}
