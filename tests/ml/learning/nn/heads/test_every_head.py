"""Contract tests of all heads, and tests of the purpose of some."""

import contextlib
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.architectures.base import Widths
from ml.learning.nn.heads import HEADS
from ml.learning.nn.heads.spectrogram import character_of_frame
from ml.learning.nn.objectives.base import Objective
from ml.learning.training.batch_gradient import BatchGradient
from ml.learning.training.distributed import SingleProcess
from ml.signals import Feature

CLASSES, ROWS, VOCABULARY, TIME = 3, 8, 11, 6
SHAPE = {"channels": 1, "height": 7, "width": 9}
IMAGE = {"image": Widths(shape=SHAPE, pooled=5, maps=(2, 3), strides=(2, 4), latent=4)}
TEXT = {"text": Widths(shape={"vocabulary": VOCABULARY, "length": TIME}, pooled=8, sequence=8, causal=8)}
TEXT_FEATURES = frozenset({Feature.SEQUENCE, Feature.CAUSAL})
AUDIO = {"audio": Widths(shape={"bins": 4}, pooled=8, sequence=8)}
#: Inputs of a head; by default images or texts, depending on its needs.
TITLE = {"title": Widths(shape={"vocabulary": VOCABULARY, "length": TIME}, pooled=8)}
WIDTHS = {"ctc": AUDIO, "projections": {**IMAGE, **TEXT}, "next_item": {**TEXT, **TITLE}}
#: Config of a head; by default a number of classes.
CONFIG: dict[str, dict[str, Any]] = {
    "decoder": {"vocabulary": VOCABULARY},
    "next_token": {"vocabulary": VOCABULARY},
    "projections": {"width": 4},
    "ctc": {"characters": VOCABULARY},
    "spectrogram": {"bands": 4, "voices": 2, "width": 8, "layers": 1},
    "regression": {"dropout": 0.1},
    "fused_regression": {},
    "next_item": {"sequence": "text", "text": "title", "own": VOCABULARY, "negatives": VOCABULARY, "own_dropout": 0.0},
}

every = pytest.mark.parametrize("name", list(HEADS))


def _head(name: str, **config: Any) -> Any:
    torch.manual_seed(0)
    head = HEADS[name]
    options = {**CONFIG.get(name, {"classes": CLASSES}), **config}
    built = head(head.config_type.model_validate(options), widths=_widths(name))
    if name == "next_item":
        built.bind_backbones({"text": _Embedded(), "title": _Embedded()})
        built.set_items(torch.arange(VOCABULARY)[:, None], torch.ones(VOCABULARY, 1, dtype=torch.bool))
    return built


class _Embedded(nn.Module):
    """Backbone whose features are embeddings, for heads that read further inputs by a backbone."""

    name = "embedded"

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, 8)

    def token_embedding(self) -> torch.Tensor:
        return self.table.weight

    def forward(self, signal: torch.Tensor, mask: torch.Tensor) -> dict[Feature, tuple[torch.Tensor, ...]]:
        return {Feature.POOLED: (self.table(signal).sum(dim=1),)}


def _widths(name: str) -> dict[str, Widths]:
    return WIDTHS.get(name, TEXT if HEADS[name].needs & TEXT_FEATURES else IMAGE)


def _features(name: str) -> dict[str, Any]:
    torch.manual_seed(1)
    sequence = torch.randn(ROWS, TIME, 8)
    text = {Feature.SEQUENCE: (sequence,), Feature.CAUSAL: (sequence,), Feature.POOLED: (sequence[:, 0],)}
    pooled, latent = torch.randn(ROWS, 5), (torch.randn(ROWS, 4), torch.randn(ROWS, 4))
    maps = (torch.randn(ROWS, 2, 4, 5), torch.randn(ROWS, 3, 2, 3))
    image = {Feature.POOLED: (pooled,), Feature.LATENT: latent, Feature.MAPS: maps}
    audio = {Feature.SEQUENCE: (sequence.repeat_interleave(2, dim=1),)}
    title = {Feature.POOLED: (torch.randn(ROWS, 8),)}
    by_slot = {"image": image, "text": text, "audio": audio, "title": title}
    return {slot: by_slot[slot] for slot in _widths(name)}


def _batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    mask = torch.arange(TIME) < torch.arange(ROWS)[:, None] % (TIME - 1) + 2
    return {
        "image": torch.rand(ROWS, 1, 7, 9),
        "label": torch.arange(ROWS) % CLASSES,
        "true_boxes": torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.5, 0.5, 0.7, 0.8]]).expand(ROWS, -1, -1),
        "true_labels": torch.stack([torch.arange(ROWS) % CLASSES, torch.full((ROWS,), -1)], dim=1),
        "noise": torch.randn(ROWS, 4),
        "text": torch.randint(VOCABULARY, (ROWS, TIME)),
        "text_mask": mask,
        "target": torch.randint(VOCABULARY, (ROWS, TIME)),
        "target_mask": mask,
        "audio": torch.randn(ROWS, 2 * TIME, 4),
        "audio_mask": torch.arange(2 * TIME) < 2 * mask.sum(dim=1, keepdim=True),
        "voice": torch.arange(ROWS) % 2,
        "normalized_value": torch.randn(ROWS),
    }


def _infer_all(name: str, head: Any) -> dict[str, torch.Tensor]:
    """Return all outputs, including those of the second step of heads that have one."""
    outputs = head.infer(_features(name), _batch())
    if name == "decoder":
        step = {"memory": outputs["memory"], "token": _batch()["target"][:, :2], "text_mask": _batch()["text_mask"]}
        outputs |= head.infer({}, {**step, "past": torch.zeros(ROWS, 2, 0, outputs["memory"].shape[2])})
    if name == "spectrogram":
        durations = 2 * _batch()["text_mask"].long()
        step = {
            "lasts": durations,
            "letter": character_of_frame(durations, 2 * TIME),
            "letter_mask": _batch()["audio_mask"],
        }
        outputs |= head.infer({}, {"sequence": outputs["sequence"], **step})
    return dict(outputs)


def _read_histories(name: str, head: Any, batch: dict[str, torch.Tensor]) -> None:
    """Read the items of a batch, as the backbone does before the head."""
    if name == "next_item":
        head.items.embedded_BTD = head.items.look_up(batch["text"].flatten()).unflatten(0, batch["text"].shape)


class _Alone(Objective):
    """A head without backbones, for rows of the features and of the batch."""

    name = "alone"
    summary = "for tests"
    source = "none"
    config_type = Config

    def __init__(self, head: str) -> None:
        nn.Module.__init__(self)
        self.head_name, self.module = head, _head(head)
        self.features, self.batch = _features(head), _batch()
        # Parts have different numbers of objects and of images, as they have of tokens.
        self.batch["true_labels"][:3] = -1
        self.batch["image_present"] = torch.arange(ROWS) > 2
        if "image" in self.features:
            self.features["image"][Feature.LATENT][1].fill_(-100)  # no noise, which parts draw in another order
        for layer in self.module.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        rows = batch["rows"]
        part = {name: tensor[rows] for name, tensor in self.batch.items()}
        features = {
            slot: {feature: tuple(tensor[rows] for tensor in tensors) for feature, tensors in by_feature.items()}
            for slot, by_feature in self.features.items()
        }
        _read_histories(self.head_name, self.module, part)
        return {"loss": self.module.loss(self.module(features, part), part)}


@every
def test_the_parts_of_a_batch_have_the_loss_and_the_gradient_of_the_whole(name: str) -> None:
    losses, gradients = [], []
    for parts in (1, 2):
        objective = _Alone(name)
        gradient = BatchGradient(
            objective, SingleProcess(), accumulate=parts, seed=0, autocast=contextlib.nullcontext()
        )
        rows = torch.arange(ROWS)
        batches = [{"rows": rows[part::parts]} for part in range(parts)]
        losses.append(gradient.backward(batches, step=0, scale=lambda loss: loss))
        weights = dict(objective.named_parameters())
        gradients.append({key: weight.grad for key, weight in weights.items() if weight.grad is not None})
    # Sums of float32 in another order.
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-5)


@every
def test_its_loss_falls_and_it_measures_its_scores(name: str) -> None:
    head, batch = _head(name), _batch()
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    losses = []
    for _ in range(60):
        _read_histories(name, head, batch)
        loss = head.loss(head(_features(name), batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    _read_histories(name, head, batch)
    assert set(head.measure(head(_features(name), batch), batch)) == set(head.scores)


@every
def test_inference_returns_its_outputs_for_every_row(name: str) -> None:
    head = _head(name).eval()
    outputs = _infer_all(name, head)
    assert set(outputs) == set(head.outputs)
    assert all(len(tensor) == ROWS for tensor in outputs.values())


@every
def test_it_requires_only_the_features_of_needs(name: str) -> None:
    head = _head(name)
    features = {
        slot: {feature: values for feature, values in tensors.items() if feature in head.needs}
        for slot, tensors in _features(name).items()
    }
    _read_histories(name, head, _batch())
    assert head(features, _batch())


@pytest.mark.parametrize("name", [name for name in HEADS if "classes" in HEADS[name].config_type.model_fields])
def test_its_label_dimensions_are_those_that_grow_with_the_classes(name: str) -> None:
    shapes, grown = (
        {key: tuple(tensor.shape) for key, tensor in head.state_dict().items()}
        for head in (_head(name), _head(name, classes=CLASSES + 1))
    )
    changed = {
        key: [axis for axis, (size, other) in enumerate(zip(shapes[key], grown[key], strict=True)) if size != other]
        for key in shapes
        if shapes[key] != grown[key]
    }
    assert changed == {key: [axis] for key, axis in HEADS[name].label_dimensions.items() if key in shapes}
    assert changed


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_losses_of_the_classifier_equal_their_formulas(smoothing: float) -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    label = torch.tensor([0, 2])
    target = functional.one_hot(label, 3) * (1 - smoothing) + smoothing / 3
    probabilities = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    cross_entropy = _head("classifier", label_smoothing=smoothing).loss({"logits": logits}, {"label": label})
    squared_error = _head("classifier", label_smoothing=smoothing, loss="mean_squared_error")
    assert cross_entropy.item() == pytest.approx(float(-(target * probabilities.log()).sum(dim=1).mean()), rel=1e-5)
    expected = float((probabilities - target).square().sum(dim=1).mean())
    assert squared_error.loss({"logits": logits}, {"label": label}).item() == pytest.approx(expected, rel=1e-5)


def test_the_evidence_lower_bound_equals_its_formula() -> None:
    head = _head("image_decoder")
    # Pixels of 0.5 predicted by logits of zero cost ln 2 each; a code of mean 1 and variance 1 costs half a nat.
    outputs = {"pixels": torch.zeros(2, 1, 7, 9), "mean": torch.ones(2, 4), "log_variance": torch.zeros(2, 4)}
    batch = {"image": torch.full((2, 1, 7, 9), 0.5)}
    scores = head.measure(outputs, batch)
    assert scores["reconstruction"].item() == pytest.approx(63 * math.log(2), rel=1e-5)
    assert scores["divergence"].item() == pytest.approx(2.0)
    assert head.loss(outputs, batch).item() == pytest.approx(63 * math.log(2) + 2.0, rel=1e-5)


def test_a_generated_image_has_the_size_of_the_input_and_values_in_0_to_1() -> None:
    image = _head("image_decoder").eval().infer({}, _batch())["image"]
    assert image.shape == (ROWS, 1, 7, 9)
    assert 0 <= image.min().item() <= image.max().item() <= 1


def test_a_generated_image_depends_only_on_the_class_and_the_noise() -> None:
    head, batch = _head("image_decoder").eval(), _batch()
    image = head.infer({}, batch)["image"]
    assert torch.equal(image, head.infer({}, batch)["image"])
    assert not torch.equal(image, head.infer({}, {**batch, "label": (batch["label"] + 1) % CLASSES})["image"])


def test_the_contrastive_loss_uses_the_scaled_cosine_in_both_directions() -> None:
    head = _head("projections", temperature=0.5)
    image, text = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    outputs = {"image_embedding": image, "text_embedding": text, "scale": head.scale().expand(2)}
    logits = 2 * image @ text.T
    pair = torch.arange(2)
    expected = (functional.cross_entropy(logits, pair) + functional.cross_entropy(logits.T, pair)) / 2
    assert head.loss(outputs, {}).item() == pytest.approx(expected.item(), rel=1e-6)
    # Image 1 is nearer to text 0, and text 0 to image 1; the nearest of the other two is their pair.
    assert head.measure(outputs, {})["pair_accuracy"].item() == pytest.approx(0.5)


def test_each_projection_works_alone_and_has_length_one() -> None:
    head = _head("projections").eval()
    features = _features("projections")
    both = head.infer(features, {})
    for slot in ("image", "text"):
        alone = head.infer({slot: features[slot]}, {})
        assert set(alone) == {f"{slot}_embedding", "scale"}
        torch.testing.assert_close(alone[f"{slot}_embedding"], both[f"{slot}_embedding"])
        torch.testing.assert_close(both[f"{slot}_embedding"].norm(dim=1), torch.ones(ROWS))


def test_the_scale_is_learned_and_bounded() -> None:
    head = _head("projections", temperature=0.07)
    assert head.scale().item() == pytest.approx(1 / 0.07, rel=1e-5)
    head.log_scale.data.fill_(20)
    assert head.scale().item() == 100


def test_an_auxiliary_feature_adds_to_the_loss_until_its_layer_is_stripped() -> None:
    torch.manual_seed(0)
    widths = {"image": Widths(shape=SHAPE, pooled=5, auxiliary=4), "other": Widths(shape=SHAPE, pooled=2)}
    head = HEADS["classifier"](HEADS["classifier"].config_type.model_validate({"classes": CLASSES}), widths=widths)
    features = {"image": {Feature.POOLED: (torch.randn(ROWS, 5),)}, "other": {Feature.POOLED: (torch.randn(ROWS, 2),)}}
    batch = {"label": torch.arange(ROWS) % CLASSES}
    plain = head.loss(head(features, batch), batch)
    with_auxiliary = {**features, "image": {**features["image"], Feature.AUXILIARY: (torch.randn(ROWS, 4),)}}
    outputs = head(with_auxiliary, batch)
    auxiliary_loss = functional.cross_entropy(outputs["auxiliary"], batch["label"])
    torch.testing.assert_close(head.loss(outputs, batch), plain + 0.4 * auxiliary_loss)
    head.strip_training_only()
    assert head(with_auxiliary, batch).keys() == {"logits"}
    assert not [name for name in head.state_dict() if "auxiliary" in name]
