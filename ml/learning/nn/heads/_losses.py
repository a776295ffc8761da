"""Losses of one class, or of one number, for each row.

B rows, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional

Loss = Literal["cross_entropy", "mean_squared_error"]
RegressionLoss = Literal["mse", "huber"]
#: Loss -> mean over the rows; the absolute error beyond one deviation counts once (Huber 1964).
LOSSES: Final[Mapping[RegressionLoss, Callable[[Tensor, Tensor], Tensor]]] = {
    "mse": functional.mse_loss,
    "huber": functional.huber_loss,
}
ClassWeights = Annotated[
    tuple[float, ...] | None,
    Field(description="Weight of the rows of each class in the loss, with a mean over the training rows of 1."),
]


def class_loss(
    logits_BK: Tensor, label_B: Tensor, *, loss: Loss, smoothing: float, class_weights: Tensor | None
) -> Tensor:
    """Return the mean cross-entropy, or the mean squared error of the probabilities.

    `smoothing` is the fraction of the target probability that is spread over all classes; `class_weights` float [K].
    """
    losses_B = _row_losses(logits_BK, label_B, loss=loss, smoothing=smoothing)
    if class_weights is not None:
        # The mean is over the rows, not over their weights: a batch counts by its rows of rare classes.
        losses_B = losses_B * class_weights[label_B]
    return losses_B.mean()


def _row_losses(logits_BK: Tensor, label_B: Tensor, *, loss: Loss, smoothing: float) -> Tensor:
    if loss == "cross_entropy":
        return functional.cross_entropy(logits_BK, label_B, label_smoothing=smoothing, reduction="none")
    classes = logits_BK.shape[1]
    target = functional.one_hot(label_B, classes).float()
    target = target * (1 - smoothing) + smoothing / classes
    return (logits_BK.softmax(dim=1) - target).square().sum(dim=1)
