"""What holds for each head, and what each is for."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from ml.learning.nn.architectures.base import Widths
from ml.learning.nn.heads import HEADS
from ml.learning.nn.heads.spectrogram import token_of_frame
from ml.signals import Feature

CLASSES, ROWS, VOCABULARY, TIME = 3, 8, 11, 6
SHAPE = {"channels": 1, "height": 7, "width": 9}
IMAGE = {"image": Widths(shape=SHAPE, pooled=5, maps=(2, 3), strides=(2, 4), latent=4)}
TEXT = {"text": Widths(shape={"vocabulary": VOCABULARY, "length": TIME}, pooled=8, sequence=8, causal=8)}
OF_TEXTS = frozenset({Feature.SEQUENCE, Feature.CAUSAL})
AUDIO = {"audio": Widths(shape={"bins": 4}, pooled=8, sequence=8)}
#: By head, what it reads; elsewhere pictures or texts, as its needs say.
WIDTHS = {"ctc": AUDIO, "projections": {**IMAGE, **TEXT}}
#: By head, what its config is here; elsewhere a number of classes.
CONFIG: dict[str, dict[str, Any]] = {
    "decoder": {"vocabulary": VOCABULARY},
    "next_token": {"vocabulary": VOCABULARY},
    "projections": {"width": 4},
    "ctc": {"letters": VOCABULARY},
    "spectrogram": {"bands": 4, "voices": 2, "width": 8, "layers": 1},
}

every = pytest.mark.parametrize("name", list(HEADS))


def _head(name: str, **config: Any) -> Any:
    torch.manual_seed(0)
    head = HEADS[name]
    asked = {**CONFIG.get(name, {"classes": CLASSES}), **config}
    return head(head.config_type.model_validate(asked), widths=_widths(name))


def _widths(name: str) -> dict[str, Widths]:
    return WIDTHS.get(name, TEXT if HEADS[name].needs & OF_TEXTS else IMAGE)


def _features(name: str) -> dict[str, Any]:
    torch.manual_seed(1)
    sequence = torch.randn(ROWS, TIME, 8)
    text = {Feature.SEQUENCE: (sequence,), Feature.CAUSAL: (sequence,), Feature.POOLED: (sequence[:, 0],)}
    pooled, latent = torch.randn(ROWS, 5), (torch.randn(ROWS, 4), torch.randn(ROWS, 4))
    maps = (torch.randn(ROWS, 2, 4, 5), torch.randn(ROWS, 3, 2, 3))
    image = {Feature.POOLED: (pooled,), Feature.LATENT: latent, Feature.MAPS: maps}
    sound = {Feature.SEQUENCE: (sequence.repeat_interleave(2, dim=1),)}
    by_slot = {"image": image, "text": text, "audio": sound}
    return {slot: by_slot[slot] for slot in _widths(name)}


def _batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    real = torch.arange(TIME) < torch.arange(ROWS)[:, None] % (TIME - 1) + 2
    return {
        "image": torch.rand(ROWS, 1, 7, 9),
        "label": torch.arange(ROWS) % CLASSES,
        "true_boxes": torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.5, 0.5, 0.7, 0.8]]).expand(ROWS, -1, -1),
        "true_labels": torch.stack([torch.arange(ROWS) % CLASSES, torch.full((ROWS,), -1)], dim=1),
        "noise": torch.randn(ROWS, 4),
        "text": torch.randint(VOCABULARY, (ROWS, TIME)),
        "text_mask": real,
        "target": torch.randint(VOCABULARY, (ROWS, TIME)),
        "target_mask": real,
        "audio": torch.randn(ROWS, 2 * TIME, 4),
        "audio_mask": torch.arange(2 * TIME) < 2 * real.sum(dim=1, keepdim=True),
        "voice": torch.arange(ROWS) % 2,
    }


def _inferred(name: str, head: Any) -> dict[str, torch.Tensor]:
    """All that it answers, the steps of one that loops included."""
    found = head.infer(_features(name), _batch())
    if name == "decoder":
        step = {"memory": found["memory"], "token": _batch()["target"][:, :2], "text_mask": _batch()["text_mask"]}
        found |= head.infer({}, {**step, "past": torch.zeros(ROWS, 2, 0, found["memory"].shape[2])})
    if name == "spectrogram":
        lasts = 2 * _batch()["text_mask"].long()
        spread = {"lasts": lasts, "letter": token_of_frame(lasts, 2 * TIME), "letter_mask": _batch()["audio_mask"]}
        found |= head.infer({}, {"sequence": found["sequence"], **spread})
    return dict(found)


@every
def test_it_learns_and_tells_its_scores(name: str) -> None:
    head, batch = _head(name), _batch()
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    losses = []
    for _ in range(60):
        loss = head.loss(head(_features(name), batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert set(head.measure(head(_features(name), batch), batch)) == set(head.scores)


@every
def test_inference_answers_one_row_for_each(name: str) -> None:
    head = _head(name).eval()
    found = _inferred(name, head)
    assert set(found) == set(head.outputs)
    assert all(len(each) == ROWS for each in found.values())


@every
def test_it_needs_only_features_it_says(name: str) -> None:
    head = _head(name)
    features = {
        slot: {key: each for key, each in given.items() if key in head.needs} for slot, given in _features(name).items()
    }
    assert head(features, _batch())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_classifiers_losses_are_what_their_formulas_say(smoothing: float) -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    label = torch.tensor([0, 2])
    wanted = functional.one_hot(label, 3) * (1 - smoothing) + smoothing / 3
    probabilities = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    crossed = _head("classifier", label_smoothing=smoothing).loss({"logits": logits}, {"label": label})
    squared = _head("classifier", label_smoothing=smoothing, loss="mean_squared_error")
    assert crossed.item() == pytest.approx(float(-(wanted * probabilities.log()).sum(dim=1).mean()), rel=1e-5)
    expected = float((probabilities - wanted).square().sum(dim=1).mean())
    assert squared.loss({"logits": logits}, {"label": label}).item() == pytest.approx(expected, rel=1e-5)


def test_the_bound_is_what_its_formula_says() -> None:
    head = _head("image_decoder")
    # Pixels of one half explained by logits of zero cost ln 2 each; a code of mean 1 and variance 1 costs half a nat.
    outputs = {"pixels": torch.zeros(2, 1, 7, 9), "mean": torch.ones(2, 4), "log_variance": torch.zeros(2, 4)}
    batch = {"image": torch.full((2, 1, 7, 9), 0.5)}
    found = head.measure(outputs, batch)
    assert found["reconstruction"].item() == pytest.approx(63 * math.log(2), rel=1e-5)
    assert found["divergence"].item() == pytest.approx(2.0)
    assert head.loss(outputs, batch).item() == pytest.approx(63 * math.log(2) + 2.0, rel=1e-5)


def test_a_drawing_has_the_size_that_was_read_and_lies_between_0_and_1() -> None:
    image = _head("image_decoder").eval().infer({}, _batch())["image"]
    assert image.shape == (ROWS, 1, 7, 9)
    assert 0 <= image.min().item() <= image.max().item() <= 1


def test_a_drawing_depends_on_the_class_and_on_nothing_but_what_it_is_given() -> None:
    head, batch = _head("image_decoder").eval(), _batch()
    image = head.infer({}, batch)["image"]
    assert torch.equal(image, head.infer({}, batch)["image"])
    assert not torch.equal(image, head.infer({}, {**batch, "label": (batch["label"] + 1) % CLASSES})["image"])


def test_pairs_are_told_apart_by_the_cosine_both_ways() -> None:
    head = _head("projections", temperature=0.5)
    near, far = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    outputs = {"image_embedding": near, "text_embedding": far, "scale": head.scale().expand(2)}
    logits = 2 * near @ far.T
    twin = torch.arange(2)
    expected = (functional.cross_entropy(logits, twin) + functional.cross_entropy(logits.T, twin)) / 2
    assert head.loss(outputs, {}).item() == pytest.approx(expected.item(), rel=1e-6)
    # Picture 1 lies nearer to text 0, and text 0 to picture 1; the other two find their twins.
    assert head.measure(outputs, {})["pair_accuracy"].item() == pytest.approx(0.5)


def test_each_tower_answers_alone_and_with_length_one() -> None:
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


def test_an_auxiliary_feature_is_learned_from_as_well_and_no_longer_asked_for_in_the_end() -> None:
    torch.manual_seed(0)
    widths = {"image": Widths(shape=SHAPE, pooled=5, auxiliary=4), "other": Widths(shape=SHAPE, pooled=2)}
    head = HEADS["classifier"](HEADS["classifier"].config_type.model_validate({"classes": CLASSES}), widths=widths)
    features = {"image": {Feature.POOLED: (torch.randn(ROWS, 5),)}, "other": {Feature.POOLED: (torch.randn(ROWS, 2),)}}
    batch = {"label": torch.arange(ROWS) % CLASSES}
    plain = head.loss(head(features, batch), batch)
    half_way = {**features, "image": {**features["image"], Feature.AUXILIARY: (torch.randn(ROWS, 4),)}}
    outputs = head(half_way, batch)
    extra = functional.cross_entropy(outputs["auxiliary"], batch["label"])
    torch.testing.assert_close(head.loss(outputs, batch), plain + 0.4 * extra)
    head.strip_training_only()
    assert head(half_way, batch).keys() == {"logits"}
    assert not [name for name in head.state_dict() if "auxiliary" in name]
