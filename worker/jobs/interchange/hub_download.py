"""Downloads models from the Hugging Face hub.

They are then read in the sandbox like any upload.
"""

from __future__ import annotations

import shutil
import zipfile
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.errors import PackageError
from ml.learning.interchange.model_archive import PICKLE_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

#: Files to download. Pickles and code are never requested.
FILE_PATTERNS: Final = ["*.json", "*.safetensors", "*.txt"]
#: Copies of the downloaded files on disk while they are packed.
COPIES: Final = 2
MAX_LISTED_FILES: Final = 5


def download_from_hub(name: str, folder: Path, *, token: SecretStr | None) -> Path:
    """Download a model and return a zip of its files.

    Raises `PackageError` if that is not possible.
    """
    if token is None:
        raise PackageError("the worker has no token for the hub", hint="Set PLINTH_HUB_TOKEN on the worker's machine.")
    from huggingface_hub import HfApi, snapshot_download

    api = HfApi(token=token.get_secret_value())
    try:
        info = api.model_info(name, files_metadata=True)
        _check_files(name, info, folder)
        snapshot = snapshot_download(
            name,
            revision=info.sha,
            local_dir=folder / "hub",
            allow_patterns=FILE_PATTERNS,
            token=token.get_secret_value(),
            max_workers=1,
        )
    except PackageError:
        raise
    except Exception as error:  # errors of the hub client, of its HTTP library, and of the system
        raise _to_package_error(name, error, api.endpoint) from error
    archive = folder / f"{name.rpartition('/')[2]}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in sorted((folder / "hub").rglob("*")):
            relative = path.relative_to(snapshot)
            if path.is_file() and not path.is_symlink() and relative.parts[0] != ".cache":
                zipped.write(path, relative)
    return archive


def _check_files(name: str, info: Any, folder: Path) -> None:  # a huggingface_hub.ModelInfo
    """Raise `PackageError` for a model without safetensors or too large for the disk."""
    files = {file.rfilename: file.size or 0 for file in info.siblings or []}
    suffixes = {file: PurePosixPath(file).suffix.lower() for file in files}
    if ".safetensors" not in suffixes.values():
        if pickles := sorted(file for file, suffix in suffixes.items() if suffix in PICKLE_SUFFIXES):
            raise PackageError(
                f"{name} has its weights only as pickles, which can run code when they are loaded: "
                f"{', '.join(pickles[:MAX_LISTED_FILES])}",
                hint="If you trust it, load it with its library, write safetensors with `save_pretrained`, and upload "
                "a zip of that folder.",
            )
        listed = ", ".join(sorted(files)[:MAX_LISTED_FILES]) or "no files"
        raise PackageError(
            f"{name} has no weights: no *.safetensors among {listed}",
            hint="Choose a model with *.safetensors, or upload a zip of a folder that `save_pretrained` wrote.",
        )
    needed = COPIES * sum(
        size for file, size in files.items() if any(fnmatch(file, pattern) for pattern in FILE_PATTERNS)
    )
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise PackageError(
            f"{name} needs {needed / 1e6:,.0f} MB of disk space, and the worker's disk has {free / 1e6:,.0f} MB left",
            hint="Free disk space on the worker's machine, or choose a smaller model.",
        )


def _to_package_error(name: str, error: Exception, endpoint: str) -> PackageError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        message = f"{name} requires accepting its terms, which the owner of the worker's token has not done"
        return PackageError(message, hint=f"Accept them at {endpoint}/{name}.")
    if isinstance(error, errors.RepositoryNotFoundError):
        message = f"the hub has no model {name} that the worker's token can read"
        return PackageError(message, hint="Check its spelling, owner/name, and whether it is private.")
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
        message = f"the hub rejects the worker's token for {name}"
        return PackageError(message, hint="Set PLINTH_HUB_TOKEN on the worker's machine to a token that can read it.")
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return PackageError(
        f"{name} cannot be downloaded from the hub: {lines[0]}",
        hint=f"Download it elsewhere (`hf download {name} --local-dir folder`) and upload a zip of the folder.",
    )
