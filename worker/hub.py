"""Models by their names on the Hugging Face hub: fetched here, read in the jail like any other upload."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Final

from ml.errors import PackageError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

WANTED: Final = ["*.json", "*.safetensors", "*.txt"]
"""No pickle and no code is even asked for."""


def fetched_from_hub(name: str, folder: Path, *, token: SecretStr | None) -> Path:
    """A zip of the files that are read; raises `PackageError` where they cannot be had."""
    if token is None:
        raise PackageError("this worker has no token for the hub", hint="Set PLINTH_HUB_TOKEN where the worker runs.")
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            name, local_dir=folder / "hub", allow_patterns=WANTED, token=token.get_secret_value(), max_workers=1
        )
    except Exception as error:  # the hub's own errors, those of its HTTP library, and the system's
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise PackageError(
            f"{name} cannot be fetched from the hub: {told[0]}",
            hint=f"Fetch it where there is a network (`hf download {name} --local-dir folder`) and send a zip of that.",
        ) from error
    archive = folder / f"{name.rpartition('/')[2]}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in sorted((folder / "hub").rglob("*")):
            inside = path.relative_to(found)
            if path.is_file() and not path.is_symlink() and inside.parts[0] != ".cache":
                zipped.write(path, inside)
    return archive
