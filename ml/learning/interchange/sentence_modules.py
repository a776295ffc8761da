"""Modules that the sentence-transformers library runs after a network: pooling, normalization and prompts."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.errors import PackageError, shorten
from ml.learning.interchange.model_archive import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MODULES: Final = "modules.json"
PROMPTS: Final = "config_sentence_transformers.json"
SENTENCE: Final = "sentence_bert_config.json"
#: Configuration of the pooling in folders without `modules.json`.
POOLING: Final = "1_Pooling/config.json"
FILES: Final = (MODULES, PROMPTS, SENTENCE, POOLING)
#: Boolean field before version 6 -> mode of version 6.
MODES: Final[Mapping[str, str]] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
#: Modules that may follow the network; other than these change its embeddings.
KNOWN_MODULES: Final = frozenset({"Transformer", "Pooling", "Normalize", "Dropout", "Dense"})
MAX_LISTED_PROMPTS: Final = 5
WITHOUT_MODULES: Final = (
    f"To import the network without them, remove {MODULES} and the folders of the modules, and pack again."
)


def module_configs(folder: Path) -> list[str]:
    """Return the paths of the configurations that `modules.json` refers to."""
    paths = [PurePosixPath(str(module.get("path") or "")) / "config.json" for module in _read_modules(folder)]
    return [str(path) for path in paths if len(path.parts) > 1]


def read_pooling(folder: Path, *, supported: Mapping[str, str]) -> tuple[str | None, list[str]]:
    """Return the pooling of the folder, None if it has none, and notes.

    `supported` maps modes of the sentence-transformers library to poolings of the architecture. Raises `PackageError`
    for all others, for modules that are not supported, and for a default prompt.
    """
    modules = _read_modules(folder)
    types = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if unknown := [name for name in types if name not in KNOWN_MODULES]:
        raise PackageError(f"modules of {MODULES} are not supported: {', '.join(unknown)}", hint=WITHOUT_MODULES)
    if "Dense" in types:
        raise PackageError(
            f"the layers behind the pooling (Dense of {MODULES}) are not supported, and embeddings would lack them",
            hint=WITHOUT_MODULES,
        )
    notes = _read_prompts(folder)
    paths = [str(module.get("path") or "") for module, name in zip(modules, types, strict=True) if name == "Pooling"]
    if len(paths) > 1:
        raise PackageError(f"{MODULES} has {len(paths)} modules for pooling (limit 1)", hint=WITHOUT_MODULES)
    name = f"{paths[0]}/config.json" if paths and paths[0] else POOLING
    if not (folder / name).is_file():
        if paths:
            raise PackageError(f"{MODULES} names the pooling {name}, which is not there", hint="Pack the whole folder.")
        return None, notes
    modes = _read_modes(read_json(folder / name))
    if len(modes) != 1 or modes[0] not in supported:
        raise PackageError(
            f"the pooling of {name} is not supported: {' and '.join(modes)}; supported: {', '.join(supported)}",
            hint=WITHOUT_MODULES,
        )
    if "Normalize" in types:
        notes.append("embeddings are not normalized; sentence-transformers would scale them to a length of 1")
    return supported[modes[0]], notes


def _read_modes(fields: Mapping[str, Any]) -> list[str]:
    """Return the modes of a pooling; several are concatenated by the library."""
    if "pooling_mode" in fields:
        modes = fields["pooling_mode"]
        return [str(mode) for mode in modes] if isinstance(modes, list) else [str(modes)]
    unknown = [
        name for name, value in fields.items() if name.startswith("pooling_mode_") and name not in MODES and value
    ]
    return [mode for name, mode in MODES.items() if fields.get(name)] + unknown or ["mean"]


def _read_prompts(folder: Path) -> list[str]:
    """Return a note on prompts that a caller of the library may choose.

    Raises `PackageError` if the library would put one before every text.
    """
    if not (folder / PROMPTS).is_file():
        return []
    fields = read_json(folder / PROMPTS)
    name, prompts = fields.get("default_prompt_name"), fields.get("prompts")
    prompt = prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else None
    if prompt:
        raise PackageError(
            f"default_prompt_name of {PROMPTS} puts {prompt!r} before every text, which is not supported",
            hint="Set default_prompt_name to null, and send the prompt as the beginning of each text.",
        )
    used = [str(text) for text in prompts.values() if text] if isinstance(prompts, dict) else []
    listed = ", ".join(shorten(text) for text in used[:MAX_LISTED_PROMPTS])
    return [f"no prompt is put before texts; those of {PROMPTS} are sent with them: {listed}"] if used else []


def _read_modules(folder: Path) -> list[Mapping[str, Any]]:
    if not (folder / MODULES).is_file():
        return []
    try:
        modules = json.loads((folder / MODULES).read_bytes())
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{MODULES} cannot be read as JSON: {error}", hint="Save the model again.") from error
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise PackageError(f"{MODULES} is not a list of objects", hint="Save the model again.")
    return modules
