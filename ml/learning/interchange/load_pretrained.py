"""Hugging Face's library reads its own checkpoints: every old name, every shard, every number format.

It never runs code that comes with a model, unpickles nothing, and asks no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ml.errors import PackageError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """A model as the library reads it."""

    model: Any
    tensors: dict[str, Tensor]
    """float32, by the library's names."""
    dropped: list[str]
    """In the files but not in the model."""
    missing: list[str]
    """In the model but not in the files: they start from chance."""


def load_pretrained(folder: Path, kind: str, *, may_lack: tuple[str, ...] = ()) -> LoadedWeights:
    """Read a folder with one of the library's `AutoModel...` classes; raises `PackageError`.

    `may_lack` are beginnings of the names that the files need not have.
    """
    # Seconds' worth of imports.
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # told below
    try:
        model, found = getattr(transformers, kind).from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # and told below, by name
        )
    except MemoryError:
        raise
    except Exception as error:  # the library raises what it met, of any kind
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PackageError(f"the folder cannot be read by Hugging Face's library: {first}") from error
    if wrong := sorted([*(str(key[0]) for key in found["mismatched_keys"]), *map(str, found["error_msgs"])]):
        raise PackageError(f"tensors are not of the shapes that config.json tells: {_listed(wrong)}")
    missing = sorted(name for name in found["missing_keys"] if not name.startswith(may_lack or "\0"))
    if missing:
        raise PackageError(f"the weights lack {len(missing)} tensors of the network: {_listed(missing)}")
    model.eval()
    return LoadedWeights(
        model,
        {name: tensor.detach() for name, tensor in model.state_dict().items()},
        sorted(found["unexpected_keys"]),
        sorted(found["missing_keys"]),
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more
