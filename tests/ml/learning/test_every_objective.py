"""What holds for each objective, on a real network over made-up pictures that have something to learn."""

from typing import Any

import pytest
import torch

from ml.learning.heads import HEADS
from ml.learning.network import build
from ml.learning.objectives import OBJECTIVES
from ml.learning.objectives.contrastive_views import ContrastiveViews, ContrastiveViewsConfig
from ml.spec import MODEL_FORMAT, Choice

SHAPE = {"channels": 1, "height": 8, "width": 8}
BACKBONES = {"pooled": "cnn", "latent": "vae"}
"""By what an objective needs."""

every = pytest.mark.parametrize("name", list(OBJECTIVES))


def _built(name: str) -> Any:
    torch.manual_seed(0)
    kind = OBJECTIVES[name]
    needs = kind.slots["image"].needs if kind.slots else HEADS["classifier"].needs
    backbone = Choice(name=next(BACKBONES[feature] for feature in needs), config={})
    head = Choice(name=kind.head, config={}) if kind.head else None
    if not kind.slots:
        head = Choice(name="classifier", config={"classes": 4})
    config, networks = {}, {}
    for option in _models(name):
        torch.manual_seed(7)
        config[option], networks[option] = option, build({"image": backbone}, shapes={"image": SHAPE}, head=head).eval()
    network = build({"image": backbone}, shapes={"image": SHAPE}, head=head)
    objective = kind(kind.config_type.model_validate(config), network)
    objective.consult(networks)
    return objective


def _models(name: str) -> list[str]:
    """The options that name a model."""
    options = OBJECTIVES[name].config_type.model_json_schema().get("properties", {})
    return [option for option, schema in options.items() if schema.get("format") == MODEL_FORMAT]


def _batch() -> dict[str, torch.Tensor]:
    """A bright quarter; which one is the label."""
    generator = torch.manual_seed(1)
    label = torch.arange(32) % 4
    image = torch.rand(32, 1, 8, 8, generator=generator) * 0.3
    for row, quarter in enumerate(label.tolist()):
        top, left = 4 * (quarter // 2), 4 * (quarter % 2)
        image[row, :, top : top + 4, left : left + 4] += 0.6
    return {"image": image, "label": label}


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
    assert objective({"image": _batch()["image"]})["loss"].isfinite()


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
    assert found["twin_accuracy"].item() == 1
