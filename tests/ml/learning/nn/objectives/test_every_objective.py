"""What holds for each objective, on a real network over made-up pictures, texts and sounds."""

from typing import Any

import pytest
import torch

from ml.config import Choice
from ml.errors import SpecError
from ml.learning.nn.heads import HEADS
from ml.learning.nn.network import build
from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.nn.objectives.contrastive_views import ContrastiveViews, ContrastiveViewsConfig
from ml.signals import Feature, Signal, Slot
from ml.spec.schema import MODEL_FORMAT

SHAPES = {
    Signal.IMAGE: {"channels": 1, "height": 8, "width": 8},
    Signal.TOKENS: {"vocabulary": 16, "length": 12, "padding": 0, "begin": 1, "end": 2, "mask": 3},
    Signal.FRAMES: {"bins": 4},
}
#: By what an objective reads and needs.
BACKBONES = {
    (Signal.IMAGE, Feature.POOLED): "cnn",
    (Signal.IMAGE, Feature.MAPS): "cnn",
    (Signal.IMAGE, Feature.LATENT): "vae",
    (Signal.TOKENS, Feature.POOLED): "transformer",
    (Signal.TOKENS, Feature.SEQUENCE): "transformer",
    (Signal.TOKENS, Feature.CAUSAL): "gpt",
    (Signal.FRAMES, Feature.SEQUENCE): "rnn",
}
IMAGE = Slot(reads=frozenset({Signal.IMAGE}), needs=HEADS["classifier"].needs)

every = pytest.mark.parametrize("name", list(OBJECTIVES))


def _built(name: str) -> Any:
    torch.manual_seed(0)
    kind = OBJECTIVES[name]
    slots = kind.slots or {"image": IMAGE}
    backbones, shapes = {}, {}
    for slot, wanted in slots.items():
        (signal,), (feature, *_) = wanted.reads, wanted.needs
        backbones[slot], shapes[slot] = Choice(name=BACKBONES[signal, feature], config={}), SHAPES[signal]
    head = Choice(name=kind.head, config={}) if kind.head else None
    if not kind.slots:
        head = Choice(name="classifier", config={"classes": 4})
    config, networks = {}, {}
    for option in _models(name):
        torch.manual_seed(7)
        config[option], networks[option] = option, build(backbones, shapes=shapes, head=head).eval()
    network = build(backbones, shapes=shapes, head=head)
    objective = kind(kind.config_type.model_validate(config), network)
    objective.consult(networks)
    return objective


def _models(name: str) -> list[str]:
    """The options that name a model."""
    options = OBJECTIVES[name].config_type.model_json_schema().get("properties", {})
    return [option for option, schema in options.items() if schema.get("format") == MODEL_FORMAT]


def _batch() -> dict[str, torch.Tensor]:
    """A bright quarter; which one is the label. Beside it numbers that count upwards."""
    generator = torch.manual_seed(1)
    label = torch.arange(32) % 4
    image = torch.rand(32, 1, 8, 8, generator=generator) * 0.3
    for row, quarter in enumerate(label.tolist()):
        top, left = 4 * (quarter // 2), 4 * (quarter % 2)
        image[row, :, top : top + 4, left : left + 4] += 0.6
    text = 4 + (torch.arange(32)[:, None] + torch.arange(12)) % 12
    mask = torch.arange(12) < 6 + torch.arange(32)[:, None] % 7
    pitch = torch.arange(1, 33)[:, None, None] * torch.arange(12)[:, None] / 12 + torch.arange(4)
    return {
        "image": image,
        "label": label,
        "text": text.where(mask, 0),
        "text_mask": mask,
        "audio": pitch.sin() * mask.unsqueeze(2),
        "audio_mask": mask,
    }


@every
def test_the_loss_falls(name: str) -> None:
    objective, batch = _built(name), _batch()
    optimizer = torch.optim.Adam(objective.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = objective(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])


@every
def test_gradients_reach_the_backbones(name: str) -> None:
    objective = _built(name)
    objective(_batch())["loss"].backward()
    reached = [each.grad is not None and bool(each.grad.abs().sum() > 0) for each in objective.network.parameters()]
    # A backbone may give more than one objective asks of it (the posterior, while its pooled features are trained).
    assert any(reached)
    assert reached[0]


@every
def test_it_measures_what_it_says_once_it_is_judged(name: str) -> None:
    objective = _built(name).eval()
    head = objective.network.head
    assert set(objective(_batch())) == {"loss", *objective.scores, *(head.scores if head else ())}


@every
def test_what_needs_no_labels_reads_none(name: str) -> None:
    objective = _built(name)
    if not objective.slots:
        pytest.skip("it learns from labels")
    assert objective({key: each for key, each in _batch().items() if key != "label"})["loss"].isfinite()


@every
def test_what_only_training_knows_of_other_models_is_no_part_of_it(name: str) -> None:
    objective = _built(name)
    ours = {id(each) for each in (*objective.network.parameters(), *objective.network.buffers())}
    apart = [key for key, each in objective.state_dict(keep_vars=True).items() if key.startswith("network.")]
    assert {id(objective.state_dict(keep_vars=True)[key]) for key in apart} <= ours
    taught = [parameter for parameter in objective.parameters() if id(parameter) not in ours]
    if _models(name):
        assert taught == []
        assert len(objective.state_dict()) == len(objective.network.state_dict())


def test_views_stay_pictures_and_differ_between_draws_and_rows() -> None:
    objective = _built("contrastive_views")
    images = _batch()["image"][:1].expand(6, -1, -1, -1)
    views = objective.view(images)
    assert views.shape == images.shape
    assert 0 <= views.min().item() <= views.max().item() <= 1
    assert len({view.numpy().tobytes() for view in views}) == 6
    assert not torch.equal(views, objective.view(images))


def test_views_that_may_not_stray_are_the_picture() -> None:
    config = ContrastiveViewsConfig(
        rotation_degrees=0, shift=0, smallest_scale=1, largest_scale=1, shear=0, contrast=0, erased=0
    )
    images = _batch()["image"]
    objective = ContrastiveViews(config, _built("contrastive_views").network)
    torch.testing.assert_close(objective.view(images), images)


def test_the_contrastive_loss_is_what_its_formula_says() -> None:
    objective = _built("contrastive_views")
    views = iter((torch.eye(4)[:2], torch.eye(4)[:2]))
    objective.view = lambda images: next(views)
    objective.network.embed = lambda batch: batch["image"]
    objective.projection = torch.nn.Identity()
    # Each view has its twin at likeness 1 and two strangers at likeness 0.
    e = torch.tensor(1 / objective.config.temperature).exp()
    found = objective({"image": torch.zeros(2, 1, 8, 8)})
    torch.testing.assert_close(found["loss"].detach(), -(e / (e + 2)).log())
    assert found["contrastive_accuracy"].item() == 1


def test_masks_are_bert_s() -> None:
    objective = _built("masked_language_modeling")
    tokens = torch.randint(4, 16, (400, 50))
    tokens[:, 0], tokens[:, -1] = 1, 2
    mask = torch.arange(50) < 45
    gaps, shown = objective.hidden(tokens, mask.expand(400, -1))
    real = 400 * 44
    # A share of n draws strays by more than 5 standard deviations once in two million times.
    assert gaps.sum().item() / real == pytest.approx(0.15, abs=5 * (0.15 * 0.85 / real) ** 0.5)
    assert not gaps[:, 0].any()
    assert not gaps[:, 45:].any()
    assert torch.equal(shown[~gaps], tokens[~gaps])
    hidden, count = shown[gaps], int(gaps.sum())
    assert (hidden == 3).sum().item() / count == pytest.approx(0.8 + 0.1 / 16, abs=5 * (0.16 / count) ** 0.5)
    kept = 0.1 + 0.1 / 16
    assert (hidden == tokens[gaps]).sum().item() / count == pytest.approx(kept, abs=5 * (0.09 / count) ** 0.5)


def test_gaps_are_told_with_the_table_that_reads() -> None:
    objective = _built("masked_language_modeling")
    assert objective.own_table is None
    objective(_batch())["loss"].backward()
    assert objective.network.backbones["text"].table().grad.abs().sum() > 0


def test_what_is_judged_has_the_same_gaps_every_time() -> None:
    objective, batch = _built("masked_language_modeling").eval(), _batch()
    assert objective(batch)["loss"] == objective(batch)["loss"]
    objective.train()
    assert objective(batch)["loss"] != objective(batch)["loss"]


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    shape = {key: each for key, each in SHAPES[Signal.TOKENS].items() if key != "mask"}
    network = build({"text": Choice(name="rnn", config={})}, shapes={"text": shape})
    kind = OBJECTIVES["masked_language_modeling"]
    with pytest.raises(SpecError, match="no token to mask"):
        kind(kind.config_type(), network)
