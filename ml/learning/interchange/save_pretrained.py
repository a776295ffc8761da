"""Saves tensors as a Hugging Face folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from safetensors.torch import save_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ml.learning.nn.network import Network
    from ml.package.package import ModelPackage

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"


def save_pretrained(
    folder: Path,
    class_name: str,
    config: Mapping[str, Any],
    *,
    backbone: Mapping[str, Tensor],
    prefix: str,
    head: Mapping[str, str],
    extra_head: Mapping[str, Tensor] | None = None,
    package: ModelPackage,
    network: Network,
) -> None:
    """Write configuration and weights for a class of the transformers library.

    `backbone` has the names of the library; a class with a head has them below `prefix`. `head` maps tensor names of
    the library to those of the network's head. `extra_head` are further tensors of the library's head.
    """
    labels = package.manifest.labels or []
    label_maps = {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: code for code, label in enumerate(labels)},
    }
    content = {"architectures": [class_name], **config, **(label_maps if labels else {}), "dtype": "float32"}
    (folder / CONFIG).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    tensors = dict(backbone)
    if network.head is not None and head:
        head_tensors = network.head.state_dict()
        tensors = {f"{prefix}{name}": tensor for name, tensor in backbone.items()}
        tensors |= {name: head_tensors[own_name] for name, own_name in head.items()} | dict(extra_head or {})
    # The format needs tensors that share no memory.
    separate = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(separate, folder / WEIGHTS, metadata={"format": "pt"})
