"""Attacks beside those of the Adversarial Robustness Toolbox, an independent implementation."""

from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn
from torch.nn import functional

from ml.learning.training.attacks.base import ascend
from ml.learning.training.perturbation import Ball, ValuePerturbation

RADIUS = {"linf": 0.1, "l2": 0.6}
NORMS = {"linf": np.inf, "l2": 2}


@pytest.fixture(scope="module")
def case() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    # Far from black and white: a step out of the range is cut before the projection there, and after it here.
    return network, 0.25 + 0.5 * torch.rand(8, 1, 8, 8), torch.arange(8) % 3


def _ours(case: tuple[nn.Module, Tensor, Tensor], norm: Any, *, steps: int, step_size: float) -> np.ndarray:
    network, images, label = case
    ball = Ball(norm, torch.full((len(images), 1, 1, 1), RADIUS[norm]))
    one = torch.ones(1, 1, 1, 1)
    perturbation = ValuePerturbation("image", ball, images, scale=one, low=0 * one, high=one, mask=None)

    def loss(deltas: Any) -> Tensor:
        return functional.cross_entropy(network(images + deltas["image"]), label)

    deltas = ascend(loss, {"image": perturbation}, steps=steps, step_size=step_size, random_start=False)
    return (images + deltas["image"]).numpy()


def _reference(case: tuple[nn.Module, Tensor, Tensor], attack_type: Any, **options: Any) -> np.ndarray:
    network, images, label = case
    loss = nn.CrossEntropyLoss()
    classifier = PyTorchClassifier(network, loss, (1, 8, 8), 3, clip_values=(0.0, 1.0), device_type="cpu")
    attacked: np.ndarray = attack_type(classifier, **options).generate(images.numpy(), label.numpy())
    return attacked


# The same operations in another order: differences are those of rounding in float32.
TOLERANCE = 1e-5


@pytest.mark.parametrize("norm", list(NORMS))
def test_one_step_is_the_fast_gradient_method(case: tuple[nn.Module, Tensor, Tensor], norm: str) -> None:
    reference = _reference(case, FastGradientMethod, norm=NORMS[norm], eps=RADIUS[norm])
    assert np.abs(_ours(case, norm, steps=1, step_size=1.0) - reference).max() < TOLERANCE


@pytest.mark.parametrize("norm", list(NORMS))
def test_several_steps_are_projected_gradient_descent(case: tuple[nn.Module, Tensor, Tensor], norm: str) -> None:
    options = {"eps": RADIUS[norm], "eps_step": RADIUS[norm] / 4, "max_iter": 7, "num_random_init": 0, "verbose": False}
    reference = _reference(case, ProjectedGradientDescent, norm=NORMS[norm], **options)
    assert np.abs(_ours(case, norm, steps=7, step_size=0.25) - reference).max() < TOLERANCE
