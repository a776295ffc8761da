"""Residual networks. Layers have other names there; what they compute is the same.

theirs: ResNetModel, ResNetForImageClassification    ours: `resnet` with `stem_stride` 4
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import ValidationError

from ml.config import Choice
from ml.encoders.image import ImageConfig, ImageEncoder
from ml.errors import PackageError
from ml.learning.interchange.families.base import ExportedModel, Family, ImportedModel
from ml.learning.interchange.load_pretrained import load_pretrained
from ml.learning.interchange.model_archive import read_json
from ml.learning.interchange.save_pretrained import save_pretrained
from ml.learning.nn.architectures.resnet import EXPANSION, ResNetConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ml.learning.nn.network import Network
    from ml.package.package import ModelPackage

EXAMPLES = 16
PREPROCESSOR = "preprocessor_config.json"
USUAL_SIDE = 224
"""Where the folder says nothing (ImageNet)."""
_PARTS = {"convolution": "0", "normalization": "1"}
_PLACES = {part: name for name, part in _PARTS.items()}
_THEIRS = re.compile(
    r"(?:resnet\.)?(?:embedder\.embedder|encoder\.stages\.(\d+)\.layers\.(\d+)\.(?:layer\.(\d+)|(shortcut)))"
    r"\.(convolution|normalization)\.(\w+)"
)
_OURS = re.compile(r"(?:stem\.0|stages\.(\d+)\.(\d+)\.(?:branch\.(\d+)|(shortcut)))\.([01])\.(\w+)")


class ResNetFamily(Family):
    """Convolutional networks of Microsoft's `resnet-18` to `resnet-152`."""

    name = "resnet"
    slot = "image"
    model_types = frozenset({"resnet"})
    files = (PREPROCESSOR,)
    tasks: ClassVar[Mapping[str, str]] = {"ForImageClassification": "image_classification"}

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any], *, task: str | None) -> ImportedModel:
        """Tensors by their names there; pictures are stretched where the library would cut out their middle."""
        loaded = load_pretrained(folder, "AutoModelForImageClassification" if task else "AutoModel")
        backbone, head, dropped = {}, {}, list(loaded.dropped)
        for name, tensor in loaded.tensors.items():
            if found := _THEIRS.fullmatch(name):
                backbone[_our_name(found)] = tensor
            elif name in ("classifier.1.weight", "classifier.1.bias"):
                head[name.replace("classifier.1", "linear")] = tensor
            else:
                dropped.append(name)
        encoder, notes = _encoder(folder, config)
        return ImportedModel(
            architecture=Choice(name=cls.name, config=_architecture(config).model_dump(mode="json")),
            encoder=encoder,
            backbone=backbone,
            head=head,
            dropped=sorted(dropped),
            notes=notes,
        )

    @classmethod
    def examples(cls) -> list[Any]:
        """Noise."""
        chance = np.random.default_rng(0)
        return [chance.integers(0, 256, size=(64, 64, 3), dtype=np.uint8) for _ in range(EXAMPLES)]

    @classmethod
    def write(cls, package: ModelPackage, network: Network, folder: Path) -> ExportedModel:
        """With how pictures are to be brought to size."""
        architecture = ResNetConfig.model_validate(package.manifest.architectures[cls.slot].config)
        if architecture.stem_stride == 1:
            raise PackageError(
                "this network has a 3x3 convolution as its stem, and Hugging Face's ResNet has none but a 7x7",
                hint='Train one with "stem_stride": 4.',
            )
        encoder = package.encoders()[cls.slot].config
        wide = EXPANSION if architecture.block == "bottleneck" else 1
        backbone = network.backbones[cls.slot].state_dict()
        tensors = {_their_name(found): tensor for name, tensor in backbone.items() if (found := _OURS.fullmatch(name))}
        save_pretrained(
            folder,
            "ResNetForImageClassification" if package.manifest.task else "ResNetModel",
            {
                "model_type": "resnet",
                "num_channels": encoder.channels,
                "embedding_size": architecture.stages[0][0],
                "hidden_sizes": [width * wide for width, _ in architecture.stages],
                "depths": [depth for _, depth in architecture.stages],
                "layer_type": architecture.block,
            },
            backbone=tensors,
            prefix="resnet.",
            head={"classifier.1.weight": "linear.weight", "classifier.1.bias": "linear.bias"},
            package=package,
            network=network,
        )
        (folder / PREPROCESSOR).write_text(json.dumps(_preprocessor(encoder), indent=2) + "\n")
        return ExportedModel("AutoModelForImageClassification" if package.manifest.task else "AutoModel")

    @classmethod
    def ask(cls, model: Any, arrays: Mapping[str, Tensor], package: ModelPackage) -> Tensor:
        """`logits`, else the pooled features."""
        answer = model(pixel_values=arrays[cls.slot])
        found: Tensor = answer.logits if "logits" in answer else answer.pooler_output.flatten(1)
        return found


def _encoder(folder: Path, config: Mapping[str, Any]) -> tuple[ImageEncoder, list[str]]:
    """What `preprocessor_config.json` says of size and normalisation."""
    path, notes = folder / PREPROCESSOR, []
    said = read_json(path) if path.is_file() else {}
    if not said:
        notes.append(f"without {PREPROCESSOR}: pictures become {USUAL_SIDE} x {USUAL_SIDE}, and are not normalised")
    size = said.get("size", USUAL_SIDE)
    sides = size if isinstance(size, dict) else {"shortest_edge": size}
    height, width = (sides.get(side, sides.get("shortest_edge", USUAL_SIDE)) for side in ("height", "width"))
    if said.get("crop_pct") or said.get("do_center_crop"):
        notes.append("pictures are stretched to size, where the library would cut out their middle")
    normalised = bool(said) and said.get("do_normalize", True)
    try:
        encoder = ImageConfig(
            height=height,
            width=width,
            channels=config.get("num_channels", 3),
            mean=said.get("image_mean") if normalised else None,
            deviation=said.get("image_std") if normalised else None,
        )
    except ValidationError as error:
        raise PackageError(f"{PREPROCESSOR} cannot be used: {error.errors()[0]['msg']}") from error
    return ImageEncoder(encoder), notes


def _preprocessor(encoder: ImageConfig) -> dict[str, Any]:
    """By the library's plainest processor of pictures, which stretches as ours does."""
    normalised = encoder.mean is not None or encoder.deviation is not None
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": encoder.height, "width": encoder.width},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": normalised,
        "image_mean": list(encoder.mean or [0.0] * encoder.channels),
        "image_std": list(encoder.deviation or [1.0] * encoder.channels),
    }


def _architecture(config: Mapping[str, Any]) -> ResNetConfig:
    """Raises `PackageError` for the variants that are not built here."""
    from transformers import ResNetConfig as Theirs

    theirs = Theirs(**config)
    kind = theirs.layer_type
    sizes, depths = list(theirs.hidden_sizes or ()), list(theirs.depths or ())
    widths = [width // EXPANSION if kind == "bottleneck" else width for width in sizes]
    wanted = {
        "hidden_act": (theirs.hidden_act, "relu"),
        "downsample_in_first_stage": (theirs.downsample_in_first_stage, False),
        "downsample_in_bottleneck": (theirs.downsample_in_bottleneck, False),
        "embedding_size": (theirs.embedding_size, widths[0]),
    }
    if other := [f"{name} {found}, not {known}" for name, (found, known) in wanted.items() if found != known]:
        raise PackageError(f"this variant of ResNet is not read: {'; '.join(other)}")
    return ResNetConfig(stages=tuple(zip(widths, depths, strict=True)), block=kind, stem_stride=4)


def _our_name(found: re.Match[str]) -> str:
    stage, block, layer, shortcut, part, tensor = found.groups()
    if stage is None:
        return f"stem.0.{_PARTS[part]}.{tensor}"
    where = "shortcut" if shortcut else f"branch.{layer}"
    return f"stages.{stage}.{block}.{where}.{_PARTS[part]}.{tensor}"


def _their_name(found: re.Match[str]) -> str:
    stage, block, layer, shortcut, part, tensor = found.groups()
    if stage is None:
        return f"embedder.embedder.{_PLACES[part]}.{tensor}"
    where = "shortcut" if shortcut else f"layer.{layer}"
    return f"encoder.stages.{stage}.layers.{block}.{where}.{_PLACES[part]}.{tensor}"
