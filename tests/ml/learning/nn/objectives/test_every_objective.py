"""Contract tests of all objectives, with real networks on synthetic images, texts and audio."""

import pytest
import torch

from ml.config import Choice
from ml.errors import SpecError
from ml.learning.nn.network import build
from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.nn.objectives.contrastive_views import ContrastiveViews, ContrastiveViewsConfig
from ml.signals import Signal
from tests.support.ml.objectives import SHAPES, build_objective, make_batch, model_options

every = pytest.mark.parametrize("name", list(OBJECTIVES))


@every
def test_the_loss_falls(name: str) -> None:
    objective, batch = build_objective(name), make_batch()
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
    objective = build_objective(name)
    objective(make_batch())["loss"].backward()
    gradients = [parameter.grad for parameter in objective.network.parameters()]
    # A backbone may have parameters that an objective does not use (the posterior, if it uses pooled features).
    assert gradients[0] is not None
    assert gradients[0].abs().sum() > 0


@every
def test_in_evaluation_it_returns_its_scores(name: str) -> None:
    objective = build_objective(name).eval()
    head = objective.network.head
    assert set(objective(make_batch())) == {"loss", *objective.scores, *(head.scores if head else ())}


@every
def test_an_objective_with_slots_reads_no_labels(name: str) -> None:
    objective = build_objective(name)
    if not objective.slots:
        pytest.skip("it learns from labels")
    assert objective({name: tensor for name, tensor in make_batch().items() if name != "label"})["loss"].isfinite()


@every
def test_other_models_are_not_part_of_its_parameters_and_state(name: str) -> None:
    objective = build_objective(name)
    network_ids = {id(tensor) for tensor in (*objective.network.parameters(), *objective.network.buffers())}
    state = objective.state_dict(keep_vars=True)
    assert {id(tensor) for key, tensor in state.items() if key.startswith("network.")} <= network_ids
    if model_options(name):
        assert [parameter for parameter in objective.parameters() if id(parameter) not in network_ids] == []
        assert len(objective.state_dict()) == len(objective.network.state_dict())


def test_views_have_values_of_images_and_differ_between_calls_and_rows() -> None:
    objective = build_objective("contrastive_views")
    images = make_batch()["image"][:1].expand(6, -1, -1, -1)
    views = objective.augment(images)
    assert views.shape == images.shape
    assert 0 <= views.min().item() <= views.max().item() <= 1
    assert len({view.numpy().tobytes() for view in views}) == 6
    assert not torch.equal(views, objective.augment(images))


def test_views_without_augmentation_equal_the_image() -> None:
    config = ContrastiveViewsConfig(
        rotation_degrees=0, shift=0, smallest_scale=1, largest_scale=1, shear=0, contrast=0, erased=0
    )
    images = make_batch()["image"]
    objective = ContrastiveViews(config, build_objective("contrastive_views").network)
    torch.testing.assert_close(objective.augment(images), images)


def test_the_contrastive_loss_equals_its_formula() -> None:
    objective = build_objective("contrastive_views")
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
    objective = build_objective("masked_language_modeling")
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
    objective = build_objective("masked_language_modeling")
    assert objective.own_table is None
    objective(make_batch())["loss"].backward()
    assert objective.network.backbones["text"].token_embedding().grad.abs().sum() > 0


def test_evaluation_masks_the_same_tokens_every_time() -> None:
    objective, batch = build_objective("masked_language_modeling").eval(), make_batch()
    assert objective(batch)["loss"] == objective(batch)["loss"]
    objective.train()
    assert objective(batch)["loss"] != objective(batch)["loss"]


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    shape = {key: size for key, size in SHAPES[Signal.TOKENS].items() if key != "mask"}
    network = build({"text": Choice(name="rnn", config={})}, shapes={"text": shape})
    objective_type = OBJECTIVES["masked_language_modeling"]
    with pytest.raises(SpecError, match="no mask token"):
        objective_type(objective_type.config_type(), network)
