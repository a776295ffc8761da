"""Robustness of a network: accuracy and loss under an attack of growing radius."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NotRequired, TypedDict

import torch
from torch import Tensor

from ml.learning.export.torch_runner import load_network
from ml.learning.training.adversarial import differentiable, perturb, perturbation_spaces
from ml.learning.training.attacks.base import AttackConfig
from ml.learning.training.attacks.pgd import PGD, PGDConfig
from ml.learning.training.batches import SequentialBatches
from ml.learning.training.perturbation import DEFAULTS
from ml.metrics.base import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from ml.data.rows import Rows
    from ml.encoders.base import Encoder
    from ml.learning.nn.network import Network
    from ml.learning.training.perturbation import Norm, PerturbationSpace
    from ml.package.package import ModelPackage

STEPS: Final = 20
RESTARTS: Final = 1
#: Rows under attack: enough for an interval of ten points, and seconds for a small network.
MAX_ROWS: Final = 200
BATCH_ROWS: Final = 100
#: Radii as multiples of that trained against, or of the default.
RADII: Final = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
#: A radius at which no network can be right: any image can become any other, a text loses its meaning.
LARGE_RADIUS: Final[Mapping[Norm, float]] = {"linf": 1.0, "l2": 10.0}
#: Accuracy above which an attack of the large radius has found no gradient to follow.
MASKED_ACCURACY: Final = 0.1


class RadiusEntry(TypedDict):
    """Result at one radius; the accuracy only for tasks with one class for each row."""

    radius: float
    loss: float
    accuracy: NotRequired[float]
    interval: NotRequired[tuple[float, float]]


class AttackReport(TypedDict):
    """Accuracy and loss under projected gradient descent, by radius."""

    attack: str
    #: Norm of the perturbation of each attacked slot.
    norms: dict[str, Norm]
    steps: int
    restarts: int
    rows: int
    radii: list[RadiusEntry]
    warnings: list[str]


def measure_robustness(
    network: Network,
    encoders: Mapping[str, Encoder[Any]],
    batches: Iterable[tuple[Mapping[str, Tensor], int]],
    *,
    attack: AttackConfig,
    radii: Sequence[float] | None = None,
    steps: int = STEPS,
    restarts: int = RESTARTS,
    max_rows: int = MAX_ROWS,
) -> AttackReport:
    """Attack the first rows of `batches` at growing radii.

    `attack` names the norm and the radius that is trained against; without a radius, the default of the signal. A row
    counts as right if no restart changes its class. The random state of torch is left as it was.
    """
    rows = list(_first_rows(batches, max_rows))
    # A slot that reads a table of items is no part of a batch.
    spaces = [space for space in perturbation_spaces(network, encoders, attack) if space.slot in rows[0]]
    norm = spaces[0].norm
    radii = radii or sorted({*(factor * spaces[0].radius for factor in RADII), LARGE_RADIUS[norm]})
    was_training = network.training
    network.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        entries = [_attack(network, spaces, rows, radius, steps=steps, restarts=restarts) for radius in radii]
    network.train(was_training)
    return {
        "attack": PGD.name,
        "norms": {space.slot: space.norm for space in spaces},
        "steps": steps,
        "restarts": restarts,
        "rows": sum(_count(batch) for batch in rows),
        "radii": entries,
        "warnings": masking_warnings(entries, LARGE_RADIUS[norm]),
    }


def find_attack(package: ModelPackage) -> Callable[[Rows], AttackReport] | None:
    """Return the function that attacks rows of a package.

    None if no signal of it can be perturbed.
    """
    task, encoders = package.task(), package.encoders()
    if task is None or not any(encoders[slot].signal in DEFAULTS for slot in task.slots if slot in encoders):
        return None

    def attack(rows: Rows) -> AttackReport:
        device = torch.device("cpu")
        columns = task.encode(rows[:MAX_ROWS])
        batches = SequentialBatches(columns, collate=task.collate, batch_size=BATCH_ROWS, device=device)
        network = load_network(package).to(device)
        return measure_robustness(network, encoders, batches.epoch(), attack=AttackConfig())

    return attack


def masking_warnings(entries: Sequence[RadiusEntry], large_radius: float) -> list[str]:
    """Return why the attack is not to be trusted.

    A stronger attack must not leave more rows right, and one of any strength hardly any (Athalye et al. 2018,
    arXiv:1802.00420, section 3.1).
    """
    warnings = []
    measured = [entry for entry in entries if "accuracy" in entry]
    for weaker, stronger in pairwise(measured):
        if stronger["interval"][0] > weaker["interval"][1]:
            warnings.append(
                f"gradients are masked: accuracy rises from {weaker['accuracy']:.3f} at radius {weaker['radius']:g} to "
                f"{stronger['accuracy']:.3f} at {stronger['radius']:g}, where the attack is stronger"
            )
    largest = max(measured, key=lambda entry: entry["radius"], default=None)
    if largest and largest["radius"] >= large_radius and largest["interval"][0] > MASKED_ACCURACY:
        warnings.append(
            f"gradients are masked: accuracy is {largest['accuracy']:.3f} at radius {largest['radius']:g}, where any "
            "input can become any other; trust the accuracies under attack no more than those without"
        )
    return warnings


def _attack(
    network: Network,
    spaces: Sequence[PerturbationSpace],
    rows: Sequence[Mapping[str, Tensor]],
    radius: float,
    *,
    steps: int,
    restarts: int,
) -> RadiusEntry:
    attack = PGD(PGDConfig(steps=steps))
    loss_total, right_total, count = 0.0, 0, 0
    has_classes = True
    for batch in rows:
        worst_loss, is_right = torch.tensor(0.0), None
        for _ in range(restarts if radius else 1):
            perturbations = {space.slot: space.with_radius(radius).perturbation(batch) for space in spaces}
            deltas: dict[str, Tensor] = {slot: perturbation.zeros() for slot, perturbation in perturbations.items()}
            if radius:
                with differentiable(network):
                    deltas = attack.search(partial(_loss, network, batch, perturbations), perturbations)
            with torch.no_grad(), perturb(batch, perturbations, deltas) as perturbed_batch:
                outputs = network(perturbed_batch)
                worst_loss = torch.maximum(worst_loss, network.require_head().loss(outputs, batch).cpu())
                right = _right_rows(network, outputs, batch)
            is_right = right if is_right is None or right is None else is_right & right
        count += _count(batch)
        loss_total += float(worst_loss) * _count(batch)
        has_classes &= is_right is not None
        right_total += 0 if is_right is None else int(is_right.sum())
    entry: RadiusEntry = {"radius": round(radius, 6), "loss": loss_total / count}
    if has_classes:
        accuracy = right_total / count
        entry |= {"accuracy": accuracy, "interval": wilson_interval(accuracy, count)}
    return entry


def _loss(network: Network, batch: Mapping[str, Tensor], perturbations: Any, deltas: Mapping[str, Tensor]) -> Tensor:
    with perturb(batch, perturbations, deltas) as perturbed_batch:
        return network.require_head().loss(network(perturbed_batch), perturbed_batch)


def _right_rows(network: Network, outputs: dict[str, Tensor], batch: Mapping[str, Tensor]) -> Tensor | None:
    """Return which rows have the right class, bool [B].

    None if the task has no class for each row.
    """
    head, label = network.require_head(), batch.get("label")
    if not head.chooses or label is None:
        return None
    logits = head.choice_logits(outputs, batch)
    return logits.argmax(dim=1) == label if logits.shape[0] == label.shape[0] else None


def _first_rows(batches: Iterable[tuple[Mapping[str, Tensor], int]], max_rows: int) -> Iterable[dict[str, Tensor]]:
    remaining = max_rows
    for batch, rows in batches:
        if remaining <= 0:
            return
        yield {name: tensor[:remaining] for name, tensor in batch.items()}
        remaining -= rows


def _count(batch: Mapping[str, Tensor]) -> int:
    return len(next(iter(batch.values())))
