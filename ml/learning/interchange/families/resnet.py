"""Residual networks, whose tensors have other names in the transformers library.

ResNetModel and ResNetForImageClassification correspond to the architecture `resnet` with a `stem_stride` of 4.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import torch
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

    from ml.encoders.base import Encoder
    from ml.learning.nn.network import Network
    from ml.package.package import ModelPackage

EXAMPLES: Final = 16
#: Images that are compared with the library at import.
COMPARED_EXAMPLES: Final = 4
PREPROCESSOR: Final = "preprocessor_config.json"
#: Size of images without a preprocessor config, that of ImageNet models.
DEFAULT_SIDE: Final = 224
_PARTS = {"convolution": "0", "normalization": "1"}
_LIBRARY_PARTS = {part: name for name, part in _PARTS.items()}
_LIBRARY_NAME = re.compile(
    r"(?:resnet\.)?(?:embedder\.embedder|encoder\.stages\.(\d+)\.layers\.(\d+)\.(?:layer\.(\d+)|(shortcut)))"
    r"\.(convolution|normalization)\.(\w+)"
)
_OWN_NAME = re.compile(r"(?:stem\.0|stages\.(\d+)\.(\d+)\.(?:branch\.(\d+)|(shortcut)))\.([01])\.(\w+)")


class ResNetFamily(Family):
    """ResNets, such as Microsoft's `resnet-18` to `resnet-152`."""

    name = "resnet"
    slot = "image"
    model_types = frozenset({"resnet"})
    files = (PREPROCESSOR,)
    tasks: ClassVar[Mapping[str, str]] = {"ForImageClassification": "image_classification"}

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any], *, task: str | None) -> ImportedModel:
        """Read a folder; images are stretched where the library would crop their center."""
        loaded = load_pretrained(folder, "AutoModelForImageClassification" if task else "AutoModel")
        backbone, head, dropped = {}, {}, list(loaded.dropped)
        for name, tensor in loaded.tensors.items():
            if match := _LIBRARY_NAME.fullmatch(name):
                backbone[_to_own_name(match)] = tensor
            elif name in ("classifier.1.weight", "classifier.1.bias"):
                head[name.replace("classifier.1", "linear")] = tensor
            else:
                dropped.append(name)
        encoder, notes = _read_encoder(folder, config)
        return ImportedModel(
            architecture=Choice(name=cls.name, config=_architecture(config).model_dump(mode="json")),
            encoder=encoder,
            backbone=backbone,
            pretrained=loaded.model,
            head=head,
            dropped=sorted(dropped),
            notes=notes,
        )

    @classmethod
    def examples(cls) -> list[Any]:
        """Return random images."""
        rng = np.random.default_rng(0)
        return [rng.integers(0, 256, size=(64, 64, 3), dtype=np.uint8) for _ in range(EXAMPLES)]

    @classmethod
    def write(cls, package: ModelPackage, network: Network, folder: Path) -> ExportedModel:
        """Write a folder with a preprocessor config."""
        architecture = ResNetConfig.model_validate(package.manifest.architectures[cls.slot].config)
        if architecture.stem_stride == 1:
            raise PackageError(
                "the stem of this network is a 3x3 convolution, but the ResNet of the transformers library has a 7x7",
                hint='Train a network with "stem_stride": 4, or export the format onnx.',
            )
        usual = tuple((width,) * depth for width, depth in architecture.stages)
        if (architecture.inner or usual) != usual:
            raise PackageError(
                "blocks of this network have other widths than their stage, which the library cannot build",
                hint="Export the format onnx.",
            )
        encoder = package.encoders()[cls.slot].config
        backbone = network.backbones[cls.slot].state_dict()
        save_pretrained(
            folder,
            "ResNetForImageClassification" if package.manifest.task else "ResNetModel",
            _to_config_json(architecture, encoder),
            backbone={
                _to_library_name(match): tensor
                for name, tensor in backbone.items()
                if (match := _OWN_NAME.fullmatch(name))
            },
            prefix="resnet.",
            head={"classifier.1.weight": "linear.weight", "classifier.1.bias": "linear.bias"},
            package=package,
            network=network,
        )
        (folder / PREPROCESSOR).write_text(json.dumps(_preprocessor_config(encoder), indent=2) + "\n")
        return ExportedModel("AutoModelForImageClassification" if package.manifest.task else "AutoModel")

    @classmethod
    def predict_pretrained(cls, model: Any, arrays: Mapping[str, Tensor], architecture: Choice) -> Tensor:
        """Return `logits`, or else the pooled features."""
        outputs = model(pixel_values=arrays[cls.slot])
        result: Tensor = outputs.logits if "logits" in outputs else outputs.pooler_output.flatten(1)
        return result

    @classmethod
    def comparison_batches(cls, encoder: Encoder[Any]) -> list[dict[str, Tensor]]:
        """Return one image alone, and several."""
        signal = torch.from_numpy(encoder.collate(encoder.encode(cls.examples()[:COMPARED_EXAMPLES]))["signal"])
        return [{cls.slot: signal[:1]}, {cls.slot: signal}]


def _read_encoder(folder: Path, config: Mapping[str, Any]) -> tuple[ImageEncoder, list[str]]:
    """Return an encoder of the size and normalization of `preprocessor_config.json`, and notes."""
    path, notes = folder / PREPROCESSOR, []
    preprocessor = read_json(path) if path.is_file() else {}
    if not preprocessor:
        notes.append(
            f"without {PREPROCESSOR}, images are resized to {DEFAULT_SIDE} x {DEFAULT_SIDE} and not normalized"
        )
    size = preprocessor.get("size", DEFAULT_SIDE)
    sides = size if isinstance(size, dict) else {"shortest_edge": size}
    height, width = (sides.get(side, sides.get("shortest_edge", DEFAULT_SIDE)) for side in ("height", "width"))
    if preprocessor.get("crop_pct") or preprocessor.get("do_center_crop"):
        notes.append("images are stretched to size, where the transformers library would crop their center")
    is_normalized = bool(preprocessor) and preprocessor.get("do_normalize", True)
    try:
        encoder_config = ImageConfig(
            height=height,
            width=width,
            channels=config.get("num_channels", 3),
            mean=preprocessor.get("image_mean") if is_normalized else None,
            deviation=preprocessor.get("image_std") if is_normalized else None,
        )
    except ValidationError as error:
        raise PackageError(
            f"{PREPROCESSOR} cannot be used: {error.errors()[0]['msg'].removeprefix('Value error, ')}",
            hint="Correct size, image_mean and image_std, one number for each channel.",
        ) from error
    return ImageEncoder(encoder_config), notes


def _preprocessor_config(encoder: ImageConfig) -> dict[str, Any]:
    """Return a config of the library's simplest image processor, which stretches images as well."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": encoder.height, "width": encoder.width},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": encoder.mean is not None or encoder.deviation is not None,
        "image_mean": list(encoder.mean or [0.0] * encoder.channels),
        "image_std": list(encoder.deviation or [1.0] * encoder.channels),
    }


def _to_config_json(architecture: ResNetConfig, encoder: ImageConfig) -> dict[str, Any]:
    """Return a `config.json` from which the library builds the same network."""
    expansion = EXPANSION if architecture.block == "bottleneck" else 1
    return {
        "model_type": "resnet",
        "num_channels": encoder.channels,
        "embedding_size": architecture.stages[0][0],
        "hidden_sizes": [width * expansion for width, _ in architecture.stages],
        "depths": [depth for _, depth in architecture.stages],
        "layer_type": architecture.block,
    }


def _architecture(config: Mapping[str, Any]) -> ResNetConfig:
    """Return the architecture of a `config.json`; raises `PackageError` for unsupported variants."""
    from transformers import ResNetConfig as PretrainedResNetConfig

    pretrained = PretrainedResNetConfig(**config)
    block = pretrained.layer_type
    sizes, depths = list(pretrained.hidden_sizes or ()), list(pretrained.depths or ())
    widths = [width // EXPANSION if block == "bottleneck" else width for width in sizes]
    required = {
        "hidden_act": (pretrained.hidden_act, "relu"),
        "downsample_in_first_stage": (pretrained.downsample_in_first_stage, False),
        "downsample_in_bottleneck": (pretrained.downsample_in_bottleneck, False),
        "embedding_size": (pretrained.embedding_size, widths[0]),
    }
    if unmet := [f"{name} {value}, not {need}" for name, (value, need) in required.items() if value != need]:
        raise PackageError(
            f"this variant of ResNet is not supported: {'; '.join(unmet)}",
            hint="A classifier can also be sent as an ONNX file.",
        )
    return ResNetConfig(stages=tuple(zip(widths, depths, strict=True)), block=block, stem_stride=4)


def _to_own_name(match: re.Match[str]) -> str:
    stage, block, layer, shortcut, part, tensor = match.groups()
    if stage is None:
        return f"stem.0.{_PARTS[part]}.{tensor}"
    path = "shortcut" if shortcut else f"branch.{layer}"
    return f"stages.{stage}.{block}.{path}.{_PARTS[part]}.{tensor}"


def _to_library_name(match: re.Match[str]) -> str:
    stage, block, layer, shortcut, part, tensor = match.groups()
    if stage is None:
        return f"embedder.embedder.{_LIBRARY_PARTS[part]}.{tensor}"
    path = "shortcut" if shortcut else f"layer.{layer}"
    return f"encoder.stages.{stage}.layers.{block}.{path}.{_LIBRARY_PARTS[part]}.{tensor}"
