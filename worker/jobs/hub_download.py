"""Models by their names on the Hugging Face hub: fetched here, read in the jail like any other upload."""

from __future__ import annotations

import shutil
import zipfile
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.errors import PackageError
from ml.learning.interchange.model_archive import PICKLES

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

WANTED: Final = ["*.json", "*.safetensors", "*.txt"]
"""No pickle and no code is even asked for."""
COPIES: Final = 2
"""Of what is fetched, while it is being packed."""
SHOWN: Final = 5


def download_from_hub(name: str, folder: Path, *, token: SecretStr | None) -> Path:
    """A zip of the files that are read; raises `PackageError` where they cannot be had."""
    if token is None:
        raise PackageError("this worker has no token for the hub", hint="Set PLINTH_HUB_TOKEN where the worker runs.")
    from huggingface_hub import HfApi, snapshot_download

    api = HfApi(token=token.get_secret_value())
    try:
        there = api.model_info(name, files_metadata=True)
        _refuse_what_is_of_no_use(name, there, folder)
        found = snapshot_download(
            name,
            revision=there.sha,
            local_dir=folder / "hub",
            allow_patterns=WANTED,
            token=token.get_secret_value(),
            max_workers=1,
        )
    except PackageError:
        raise
    except Exception as error:  # the hub's own errors, those of its HTTP library, and the system's
        raise _told(name, error, api.endpoint) from error
    archive = folder / f"{name.rpartition('/')[2]}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in sorted((folder / "hub").rglob("*")):
            inside = path.relative_to(found)
            if path.is_file() and not path.is_symlink() and inside.parts[0] != ".cache":
                zipped.write(path, inside)
    return archive


def _refuse_what_is_of_no_use(name: str, there: Any, folder: Path) -> None:  # a huggingface_hub.ModelInfo
    """By the names and sizes that the hub tells, before anything is fetched."""
    files = {each.rfilename: each.size or 0 for each in there.siblings or []}
    suffixes = {file: PurePosixPath(file).suffix.lower() for file in files}
    if ".safetensors" not in suffixes.values():
        if pickles := sorted(file for file, suffix in suffixes.items() if suffix in PICKLES):
            raise PackageError(
                f"{name} has its weights only as pickles, which run code when they are read: "
                f"{', '.join(pickles[:SHOWN])}",
                hint="Where you trust it, load it with its library, write safetensors with `save_pretrained`, and send "
                "a zip of that folder.",
            )
        listed = ", ".join(sorted(files)[:SHOWN]) or "no files"
        raise PackageError(f"{name} has no weights: no *.safetensors among {listed}")
    needed = COPIES * sum(size for file, size in files.items() if any(fnmatch(file, each) for each in WANTED))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise PackageError(
            f"{name} takes {needed:,} bytes to bring in, and the worker's disk has {free:,} left",
            hint="Make room where the worker runs, or bring a smaller model.",
        )


def _told(name: str, error: Exception, endpoint: str) -> PackageError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        message = f"{name} is given only to those who accepted its terms, and the owner of this worker's token has not"
        return PackageError(message, hint=f"Accept them at {endpoint}/{name}.")
    if isinstance(error, errors.RepositoryNotFoundError):
        message = f"the hub has no model {name} that this worker's token may see"
        return PackageError(message, hint="Look at its spelling, owner/name, and whether it is private.")
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
        message = f"the hub does not take this worker's token for {name}"
        return PackageError(message, hint="Set PLINTH_HUB_TOKEN to one that may read it, where the worker runs.")
    told = str(error).strip().splitlines() or [type(error).__name__]
    return PackageError(
        f"{name} cannot be fetched from the hub: {told[0]}",
        hint=f"Fetch it where there is a network (`hf download {name} --local-dir folder`) and send a zip of that.",
    )
