"""Image generation: images like those of the training data.

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
from ml.tasks.base import MODEL, Output, Task
from ml.wire import Base64, ImageInput, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column

SEEDS: Final = 2**32
#: Images evaluated at a time: in float64, all of a large split would not fit in memory.
EVALUATED_IMAGES: Final = 256


class ImageGenerationConfig(Config):
    """Conditioning on labels."""

    conditional: bool = Field(
        True, description="Generate images of a requested class, if the training data has labels."
    )


class ImageGenerationInput(Wire):
    """A label and a seed. The same label and seed give the same image."""

    label: str | None = Field(None, description="One of the model's labels; without it, the seed selects one")
    seed: int | None = Field(None, ge=0, lt=SEEDS, description="Without it, a random one: every image is different")


class ImageGenerationOutput(Wire):
    """A PNG, and the label and seed that give it again."""

    image: Base64 = Field(description="PNG file as base64")
    label: str | None = Field(description="Label of the image; null if the model has no labels")
    seed: int = Field(description="Seed of the image")


class ImageGeneration(Task):
    """Generates an image from a seed, and a label if the model has labels."""

    name = "image_generation"
    summary = "Generate an image like those of the training data, of a requested class if they have labels"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.LATENT}), default_architecture="vae")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    head = "image_decoder"
    config_type = ImageGenerationConfig
    input_type = ImageGenerationInput
    output_type = ImageGenerationOutput
    metrics: ClassVar[Mapping[str, Metric]] = {
        "negative_elbo": Metric(
            "Mean over images of the negative evidence lower bound in nats per image, with pixels as probabilities: an "
            "upper bound of the code length of an image",
            False,
        ),
        "reconstruction_error": Metric(
            "Mean over images and pixels of the squared difference, from 0 to 1, between an image and its "
            "reconstruction from the latent code",
            False,
        ),
    }
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("noise", "label")}

    @classmethod
    def learn(cls, config: ImageGenerationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the names of the classes; none if the rows have no labels."""
        has_labels = config.conditional and "label" in rows.columns
        return {"labels": (summary.classes or []) if has_labels else []}

    def bind_widths(self, widths: Mapping[str, Any]) -> None:
        """Store Z, the size of the noise."""
        self.state["latent"] = widths["image"].latent

    def head_config(self) -> dict[str, Any]:
        """Return the number of classes; 0 for none."""
        return {"classes": len(self.labels)}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return the seed and label; absent ones are chosen here."""
        request = self.input_type.of(raw_input, parameters=parameters)
        seed = secrets.randbelow(SEEDS) if request.seed is None else request.seed
        if not self.labels:
            if request.label is not None:
                raise InputError("this model was trained without labels", field="label", hint="Omit label.")
            return {"seed": seed}
        label = self.labels[int(np.random.default_rng([seed, 1]).integers(len(self.labels)))]
        if request.label is not None and request.label not in self.labels:
            hint = "Omit label to let the seed select one."
            raise InputError.of([unknown("label", request.label, self.labels, path="label", default_hint=hint)])
        return {"seed": seed, "label": label if request.label is None else request.label}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[ImageGenerationInput, dict[str, Any]]:
        """Return the label, and the image as target."""
        target = ImageInput(image=images.encode_png(row["image"]))
        return ImageGenerationInput(label=row.get("label")), target.model_dump(mode="json", exclude_none=True)

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return `image` of training rows or `seed` of requests; with labels, also `label` int64 [N]."""
        seeds: dict[str, Column] = {"seed": np.array(rows.columns["seed"])} if "seed" in rows.columns else {}
        columns = seeds or super().encode(rows)
        if self.labels:
            columns["label"] = classification.encode_labels(rows.columns["label"], self.labels)
        return columns

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Return images in 0..1, or `noise` float32 [B, Z] of each seed.

        The noise is drawn here, not in the network, so that every engine gets the same.
        """
        arrays = super().collate(columns)
        if "seed" in arrays:
            noise = [np.random.default_rng(seed).standard_normal(self.state["latent"]) for seed in arrays["seed"]]
            arrays["noise"] = np.array(noise, dtype=np.float32)
        return arrays

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `image` float [B, C, H, W] in 0..1."""
        pixels = np.rint(arrays["image"].clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        codes = arrays["label"].tolist() if self.labels else [None] * len(pixels)
        return [
            ImageGenerationOutput(
                image=images.encode_png(np.ascontiguousarray(image)),
                label=None if code is None else self.labels[code],
                seed=seed,
            ).to_json()
            for image, code, seed in zip(pixels, codes, arrays["seed"].tolist(), strict=True)
        ]

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute the bound and the reconstruction error.

        The baseline generates the mean of the training images.
        """
        targets = np.asarray(columns["image"])
        mean, log_variance = (np.asarray(outputs[name], dtype=np.float64) for name in ("mean", "log_variance"))
        divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=1)
        losses, errors = _compare(np.asarray(outputs["pixels"]), targets)
        metrics = {"negative_elbo": float((losses + divergence).mean()), "reconstruction_error": float(errors.mean())}
        if train is None:
            return Evaluation(metrics)
        mean_logits = _mean_logits(np.asarray(train["image"]))
        losses, errors = _compare(np.broadcast_to(mean_logits, targets.shape), targets)
        # The mean image has no latent code, so its divergence is 0.
        baseline = {"negative_elbo": float(losses.mean()), "reconstruction_error": float(errors.mean())}
        return Evaluation(metrics, baseline)

    @classmethod
    def example(cls) -> tuple[ImageGenerationInput, ImageGenerationOutput]:
        """A drawn 7. The input has no label, as the labels depend on the model."""
        image = images.encode_png(ImageInput.make_example().raw())
        return ImageGenerationInput(seed=1), ImageGenerationOutput(image=image, label="7", seed=1)


def _compare(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cross-entropy and mean squared difference of each image.

    The cross-entropy is in nats, summed over the pixels.
    """
    losses, errors = np.empty(len(targets)), np.empty(len(targets))
    for start in range(0, len(targets), EVALUATED_IMAGES):
        rows = slice(start, start + EVALUATED_IMAGES)
        generated = logits[rows].reshape(len(logits[rows]), -1).astype(np.float64)
        target = targets[rows].reshape(len(generated), -1) / 255
        losses[rows] = (np.logaddexp(0, generated) - generated * target).sum(axis=1)
        errors[rows] = np.square(1 / (1 + np.exp(-generated)) - target).mean(axis=1)
    return losses, errors


def _mean_logits(train_images: np.ndarray) -> np.ndarray:
    """Return the logits of the mean image.

    One white and one black image are added, so that no pixel is certain.
    """
    mean = (train_images.sum(axis=0, dtype=np.int64) / 255 + 1) / (len(train_images) + 2)
    return np.asarray(np.log(mean / (1 - mean)))
