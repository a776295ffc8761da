"""Draw pictures like those it was trained on.

B batch, C channels, H height, W width, Z latent.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.data.files import images
from ml.errors import InputError, unknown
from ml.metrics import classification
from ml.metrics.base import Evaluation, Metric
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import MODEL, Answer, Task
from ml.wire import Base64, ImageInput, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column

SEEDS: Final = 2**32
OTHERWISE: Final = "Leave label out, and the seed picks one."
AT_ONCE: Final = 256
"""Pictures judged at a time: in float64, all of a large split would not fit."""


class ImageGenerationConfig(Config):
    """What is drawn on request."""

    conditional: bool = True
    """Draw the class that is asked for, where the data has labels."""


class ImageGenerationInput(Wire):
    """What to draw. The same label and seed give the same picture."""

    label: str | None = Field(None, description="One of the model's labels; absent: one that the seed picks")
    seed: int | None = Field(None, ge=0, lt=SEEDS, description="Absent: another picture each time")


class ImageGenerationOutput(Wire):
    """A PNG, and what to ask for to get it again."""

    image: Base64
    label: str | None
    seed: int


class ImageGeneration(Task):
    """A picture from a seed, and from a label where the training data had some."""

    name = "image_generation"
    summary = "Draw a picture like those of the training data, of a class if they had any"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.LATENT}), default_architecture="vae")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    reads: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    head = "image_decoder"
    config_type = ImageGenerationConfig
    input_type = ImageGenerationInput
    output_type = ImageGenerationOutput
    metrics: ClassVar[Mapping[str, Metric]] = {
        "negative_elbo": Metric(
            "Mean over pictures of the negative evidence lower bound, in nats a picture: an upper bound of the code "
            "length of a picture whose pixels are taken as probabilities",
            False,
        ),
        "reconstruction_error": Metric(
            "Mean over pictures and pixels of the squared difference, from 0 to 1, between a picture and what is drawn "
            "from a code of it",
            False,
        ),
    }
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("noise", "label")}

    @property
    def labels(self) -> Sequence[str]:
        """The classes that can be asked for; none where the data had none."""
        labels: Sequence[str] = self.state["labels"]
        return labels

    @classmethod
    def learn(cls, config: ImageGenerationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """The names of the classes, where pictures have one."""
        labelled = config.conditional and "label" in rows.columns
        return {"labels": (summary.classes or []) if labelled else []}

    def note_widths(self, widths: Mapping[str, Any]) -> None:
        """Z, which the noise must have."""
        self.state["latent"] = widths["image"].latent

    def head_config(self) -> dict[str, Any]:
        """Number of classes; 0 for none."""
        return {"classes": len(self.labels)}

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Which label and seed; what was not said is chosen here."""
        asked = self.input_type.of(given, parameters=parameters)
        seed = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
        if not self.labels:
            if asked.label is not None:
                raise InputError("this model was trained without labels", field="label", hint="Leave label out.")
            return {"seed": seed}
        label = self.labels[int(np.random.default_rng([seed, 1]).integers(len(self.labels)))]
        if asked.label is not None and asked.label not in self.labels:
            raise InputError.of([unknown("label", asked.label, self.labels, path="label", default_hint=OTHERWISE)])
        return {"seed": seed, "label": label if asked.label is None else asked.label}

    @classmethod
    def show(cls, row: Row) -> tuple[ImageGenerationInput, dict[str, Any]]:
        """The label, and as the target the picture."""
        shown = ImageInput(image=images.encode_png(row["image"]))
        return ImageGenerationInput(label=row.get("label")), shown.model_dump(mode="json", exclude_none=True)

    def encode(self, rows: Rows) -> dict[str, Column]:
        """`image` of training rows, `seed` of asked ones; `label`: int64 [N] where there are labels."""
        seeds: dict[str, Column] = {"seed": np.array(rows.columns["seed"])} if "seed" in rows.columns else {}
        columns = seeds or super().encode(rows)
        if self.labels:
            columns["label"] = classification.encode_labels(rows.columns["label"], self.labels)
        return columns

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Pictures in 0..1, or each seed's `noise` float32 [B, Z], drawn here so that every engine gets the same."""
        arrays = super().collate(columns)
        if "seed" in arrays:
            draws = [np.random.default_rng(seed).standard_normal(self.state["latent"]) for seed in arrays["seed"]]
            arrays["noise"] = np.array(draws, dtype=np.float32)
        return arrays

    def decode(self, arrays: Arrays) -> list[Answer]:
        """From `image` float [B, C, H, W] in 0..1."""
        pixels = np.rint(arrays["image"].clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        codes = arrays["label"].tolist() if self.labels else [None] * len(pixels)
        return [
            ImageGenerationOutput(
                image=images.encode_png(np.ascontiguousarray(each)),
                label=None if code is None else self.labels[code],
                seed=seed,
            ).to_json()
            for each, code, seed in zip(pixels, codes, arrays["seed"].tolist(), strict=True)
        ]

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Against the baseline of drawing the mean of the training pictures each time."""
        wanted = np.asarray(columns["image"])
        mean, log_variance = (np.asarray(outputs[name], dtype=np.float64) for name in ("mean", "log_variance"))
        divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=1)
        nats, errors = _compare(np.asarray(outputs["pixels"]), wanted)
        found = {"negative_elbo": float((nats + divergence).mean()), "reconstruction_error": float(errors.mean())}
        if train is None:
            return Evaluation(found)
        blind = _mean_logits(np.asarray(train["image"]))
        nats, errors = _compare(np.broadcast_to(blind, wanted.shape), wanted)
        # Drawn without a code, so there is nothing to diverge.
        return Evaluation(found, {"negative_elbo": float(nats.mean()), "reconstruction_error": float(errors.mean())})

    @classmethod
    def example(cls) -> tuple[ImageGenerationInput, ImageGenerationOutput]:
        """A drawn 7. No label is asked for: which ones there are, only a model knows."""
        picture = images.encode_png(ImageInput.make_example().raw())
        return ImageGenerationInput(seed=1), ImageGenerationOutput(image=picture, label="7", seed=1)


def _compare(logits: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each picture the cross-entropy in nats over its pixels, and the mean squared difference."""
    nats, errors = np.empty(len(wanted)), np.empty(len(wanted))
    for start in range(0, len(wanted), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        drawn = logits[rows].reshape(len(logits[rows]), -1).astype(np.float64)
        target = wanted[rows].reshape(len(drawn), -1) / 255
        nats[rows] = (np.logaddexp(0, drawn) - drawn * target).sum(axis=1)
        errors[rows] = np.square(1 / (1 + np.exp(-drawn)) - target).mean(axis=1)
    return nats, errors


def _mean_logits(pictures: np.ndarray) -> np.ndarray:
    """Of the mean picture, as if one white and one black had been seen besides: no pixel is certain."""
    mean = (pictures.sum(axis=0, dtype=np.int64) / 255 + 1) / (len(pictures) + 2)
    return np.asarray(np.log(mean / (1 - mean)))
