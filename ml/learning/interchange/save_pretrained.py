"""A folder as Hugging Face's library writes it, made from tensors by their names there."""

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
    kind: str,
    config: Mapping[str, Any],
    *,
    backbone: Mapping[str, Tensor],
    prefix: str,
    head: Mapping[str, str],
    beside: Mapping[str, Tensor] | None = None,
    package: ModelPackage,
    network: Network,
) -> None:
    """Write configuration and weights for the library's class `kind`.

    A class with a head has its backbone's tensors below `prefix`, those of `head` (their name -> ours), and `beside`
    them those that it alone counts to its head.
    """
    labels = package.manifest.labels or []
    told = {"id2label": dict(enumerate(labels)), "label2id": {each: code for code, each in enumerate(labels)}}
    described = {"architectures": [kind], **config, **(told if labels else {}), "dtype": "float32"}
    (folder / CONFIG).write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    tensors = dict(backbone)
    if network.head is not None and head:
        known = network.head.state_dict()
        tensors = {f"{prefix}{name}": tensor for name, tensor in backbone.items()}
        tensors |= {theirs: known[ours] for theirs, ours in head.items()} | dict(beside or {})
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, folder / WEIGHTS, metadata={"format": "pt"})
