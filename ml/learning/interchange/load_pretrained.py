"""Loads a Hugging Face folder with the transformers library.

It supports old tensor names, shards and all number formats. No code of the folder is run, nothing is unpickled, and no
network is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from ml.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

MAX_LISTED_TENSORS: Final = 5


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """A model of the transformers library, and its tensors."""

    model: Any
    #: float32, by their names in the library.
    tensors: dict[str, Tensor]
    #: Names in the files but not in the model.
    dropped: list[str]
    #: Names in the model but not in the files; initialized at random.
    missing: list[str]


def load_pretrained(folder: Path, class_name: str, *, optional_prefixes: tuple[str, ...] = ()) -> LoadedWeights:
    """Load a folder with an `AutoModel...` class of the transformers library.

    Tensors whose names start with one of `optional_prefixes` may be missing in the files. Raises `PackageError` if the
    folder cannot be loaded, or other tensors are missing or of another shape.
    """
    # Imported here: it takes seconds.
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # reported below
    try:
        model, info = getattr(transformers, class_name).from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below by name
            chunk_size_feed_forward=0,  # changes memory alone, and fails on other lengths than its multiples
        )
    except MemoryError:
        raise
    except Exception as error:  # the library raises exceptions of any class
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PackageError(
            f"the transformers library cannot load the folder: {first_line}",
            hint="Check that it loads with AutoModel.from_pretrained(folder), and save it again.",
        ) from error
    _check_tensors(info, optional_prefixes)
    model.eval()
    return LoadedWeights(
        model,
        {name: tensor.detach() for name, tensor in model.state_dict().items()},
        sorted(info["unexpected_keys"]),
        sorted(info["missing_keys"]),
    )


def _check_tensors(info: Mapping[str, Any], optional_prefixes: tuple[str, ...]) -> None:
    hint = "Send config.json and weights of the same model."
    if mismatched := sorted([*(str(key[0]) for key in info["mismatched_keys"]), *map(str, info["error_msgs"])]):
        raise PackageError(f"tensors do not have the shapes of config.json: {_list(mismatched)}", hint=hint)
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(optional_prefixes or "\0"))
    if missing:
        raise PackageError(f"the weights lack {len(missing)} tensors of the network: {_list(missing)}", hint=hint)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - MAX_LISTED_TENSORS} more" if len(names) > MAX_LISTED_TENSORS else ""
    return ", ".join(names[:MAX_LISTED_TENSORS]) + more
