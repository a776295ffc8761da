"""Loss of one class for each row, B rows and K classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

Loss = Literal["cross_entropy", "mean_squared_error"]


def class_loss(logits_BK: Tensor, label_B: Tensor, *, loss: Loss, smoothing: float) -> Tensor:
    """Return the mean cross-entropy, or the mean squared error of the probabilities.

    `smoothing` is the fraction of the target probability that is spread over all classes.
    """
    if loss == "cross_entropy":
        return functional.cross_entropy(logits_BK, label_B, label_smoothing=smoothing)
    classes = logits_BK.shape[1]
    target = functional.one_hot(label_B, classes).float()
    target = target * (1 - smoothing) + smoothing / classes
    return (logits_BK.softmax(dim=1) - target).square().sum(dim=1).mean()
