"""Contract tests of all objectives, with real networks on synthetic images, texts and audio."""

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
#: Architecture by the signal and the feature of a slot.
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


def _build(name: str) -> Any:
    torch.manual_seed(0)
    objective_type = OBJECTIVES[name]
    slots = objective_type.slots or {"image": IMAGE}
    backbones, shapes = {}, {}
    for slot_name, slot in slots.items():
        (signal,), (feature, *_) = slot.reads, slot.needs
        backbones[slot_name], shapes[slot_name] = Choice(name=BACKBONES[signal, feature], config={}), SHAPES[signal]
    head = Choice(name=objective_type.head, config={}) if objective_type.head else None
    if not objective_type.slots:
        head = Choice(name="classifier", config={"classes": 4})
    config, networks = {}, {}
    for option in _model_options(name):
        torch.manual_seed(7)
        config[option], networks[option] = option, build(backbones, shapes=shapes, head=head).eval()
    network = build(backbones, shapes=shapes, head=head)
    objective = objective_type(objective_type.config_type.model_validate(config), network)
    objective.set_models(networks)
    return objective


def _model_options(name: str) -> list[str]:
    """Return the options that name a model."""
    options = OBJECTIVES[name].config_type.model_json_schema().get("properties", {})
    return [option for option, schema in options.items() if schema.get("format") == MODEL_FORMAT]


def _batch() -> dict[str, torch.Tensor]:
    """Return images labeled by their bright quadrant, texts of ascending tokens, and audio."""
    generator = torch.manual_seed(1)
    label = torch.arange(32) % 4
    image = torch.rand(32, 1, 8, 8, generator=generator) * 0.3
    for row, quadrant in enumerate(label.tolist()):
        top, left = 4 * (quadrant // 2), 4 * (quadrant % 2)
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
    objective, batch = _build(name), _batch()
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
    objective = _build(name)
    objective(_batch())["loss"].backward()
    gradients = [parameter.grad for parameter in objective.network.parameters()]
    # A backbone may have parameters that an objective does not use (the posterior, if it uses pooled features).
    assert gradients[0] is not None
    assert gradients[0].abs().sum() > 0


@every
def test_in_evaluation_it_returns_its_scores(name: str) -> None:
    objective = _build(name).eval()
    head = objective.network.head
    assert set(objective(_batch())) == {"loss", *objective.scores, *(head.scores if head else ())}


@every
def test_an_objective_with_slots_reads_no_labels(name: str) -> None:
    objective = _build(name)
    if not objective.slots:
        pytest.skip("it learns from labels")
    assert objective({name: tensor for name, tensor in _batch().items() if name != "label"})["loss"].isfinite()


@every
def test_other_models_are_not_part_of_its_parameters_and_state(name: str) -> None:
    objective = _build(name)
    network_ids = {id(tensor) for tensor in (*objective.network.parameters(), *objective.network.buffers())}
    state = objective.state_dict(keep_vars=True)
    assert {id(tensor) for key, tensor in state.items() if key.startswith("network.")} <= network_ids
    if _model_options(name):
        assert [parameter for parameter in objective.parameters() if id(parameter) not in network_ids] == []
        assert len(objective.state_dict()) == len(objective.network.state_dict())


def test_views_have_values_of_images_and_differ_between_calls_and_rows() -> None:
    objective = _build("contrastive_views")
    images = _batch()["image"][:1].expand(6, -1, -1, -1)
    views = objective.augment(images)
    assert views.shape == images.shape
    assert 0 <= views.min().item() <= views.max().item() <= 1
    assert len({view.numpy().tobytes() for view in views}) == 6
    assert not torch.equal(views, objective.augment(images))


def test_views_without_augmentation_equal_the_image() -> None:
    config = ContrastiveViewsConfig(
        rotation_degrees=0, shift=0, smallest_scale=1, largest_scale=1, shear=0, contrast=0, erased=0
    )
    images = _batch()["image"]
    objective = ContrastiveViews(config, _build("contrastive_views").network)
    torch.testing.assert_close(objective.augment(images), images)


def test_the_contrastive_loss_equals_its_formula() -> None:
    objective = _build("contrastive_views")
    views = iter((torch.eye(4)[:2], torch.eye(4)[:2]))
    objective.augment = lambda images: next(views)
    objective.network.embed = lambda batch: batch["image"]
    objective.projection = torch.nn.Identity()
    # Each view has its pair at similarity 1 and two other views at similarity 0.
    e = torch.tensor(1 / objective.config.temperature).exp()
    outputs = objective({"image": torch.zeros(2, 1, 8, 8)})
    torch.testing.assert_close(outputs["loss"].detach(), -(e / (e + 2)).log())
    assert outputs["contrastive_accuracy"].item() == 1


def test_tokens_are_masked_in_the_fractions_of_bert() -> None:
    objective = _build("masked_language_modeling")
    tokens = torch.randint(4, 16, (400, 50))
    tokens[:, 0], tokens[:, -1] = 1, 2
    mask = torch.arange(50) < 45
    is_predicted, masked_tokens = objective.mask_tokens(tokens, mask.expand(400, -1))
    eligible = 400 * 44
    # A fraction of n samples deviates by more than 5 standard deviations once in two million times.
    assert is_predicted.sum().item() / eligible == pytest.approx(0.15, abs=5 * (0.15 * 0.85 / eligible) ** 0.5)
    assert not is_predicted[:, 0].any()
    assert not is_predicted[:, 45:].any()
    assert torch.equal(masked_tokens[~is_predicted], tokens[~is_predicted])
    inputs, count = masked_tokens[is_predicted], int(is_predicted.sum())
    assert (inputs == 3).sum().item() / count == pytest.approx(0.8 + 0.1 / 16, abs=5 * (0.16 / count) ** 0.5)
    unchanged = (inputs == tokens[is_predicted]).sum().item() / count
    assert unchanged == pytest.approx(0.1 + 0.1 / 16, abs=5 * (0.09 / count) ** 0.5)


def test_masked_tokens_are_predicted_with_the_token_embedding_of_the_backbone() -> None:
    objective = _build("masked_language_modeling")
    assert objective.own_table is None
    objective(_batch())["loss"].backward()
    assert objective.network.backbones["text"].token_embedding().grad.abs().sum() > 0


def test_evaluation_masks_the_same_tokens_every_time() -> None:
    objective, batch = _build("masked_language_modeling").eval(), _batch()
    assert objective(batch)["loss"] == objective(batch)["loss"]
    objective.train()
    assert objective(batch)["loss"] != objective(batch)["loss"]


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    shape = {key: size for key, size in SHAPES[Signal.TOKENS].items() if key != "mask"}
    network = build({"text": Choice(name="rnn", config={})}, shapes={"text": shape})
    objective_type = OBJECTIVES["masked_language_modeling"]
    with pytest.raises(SpecError, match="no mask token"):
        objective_type(objective_type.config_type(), network)
