"""`python -m worker.jobs.validate_dataset JOB FENCE`: validate an upload and make a dataset of it.

This process fetches the upload and publishes the result; the upload is read in the sandbox in between.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files import audio, images
from ml.errors import DataError
from ml.licenses import combine_licenses
from store import datasets, jobs
from store.blobs import blobs
from store.database import reading
from store.errors import NotFound
from worker import sandbox
from worker.jobs import entrypoint
from worker.retry import retrying_transaction
from worker.settings import WorkerSettings, worker_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from store.jobs import Claim
    from store.tables import Dataset
    from worker.control_channel import ChildEnd

MEGABYTE = 1_000_000
MAX_ROW_DIGITS = 9
MIN_FILE_LIMIT_BYTES = 8_000_000_000
#: Ratio of dataset size to upload size that is allowed beyond `MIN_FILE_LIMIT_BYTES`.
EXPANSION = 4
#: Resource of the sandbox -> setting of its limit.
LIMIT_SETTINGS: Final = {"memory": "PLINTH_IMPORT_MEMORY_BYTES", "cpu": "PLINTH_IMPORT_CPU_SECONDS"}
ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".tbz2", ".txz")
MEDIA_SUFFIXES: Final = images.SUFFIXES | audio.SUFFIXES


def validate(claim: Claim, folder: Path, _channel: ChildEnd) -> None:
    """Fetch the upload, read it in the sandbox, and publish the dataset with its report."""
    into, report_path = folder / "dataset", folder / "report.json"
    arguments = {**fetch_upload(claim.spec, folder), "into": str(into), "max_bad_rows": worker_settings().max_bad_rows}
    limits = limits_for(size_of(arguments), worker_settings())
    try:
        sandbox.read_in_sandbox(
            arguments=arguments,
            report=report_path,
            limits=limits,
            on_phase=lambda count: report_rows(claim, count),
        )
    except sandbox.LimitExceeded as error:
        publish(claim, into, make_limit_report(error))
    else:
        report = json.loads(report_path.read_bytes())
        publish(claim, into, {**report, "license": _license_of(claim.spec, report)})


def report_rows(claim: Claim, count: str) -> None:
    """Store the number of rows read so far.

    A line of a compromised reader may be anything.
    """
    if not count.isdecimal() or len(count) > MAX_ROW_DIGITS:
        return
    progress = {"phase": "reading", "rows": int(count)}
    retrying_transaction(lambda session: jobs.report(session, claim, progress=progress))


def fetch_upload(spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Fetch the files of an upload into `folder`.

    Returns the arguments of the import: `sources` as paths, and its options.
    """
    sources = [fetch_sources(source, folder / "sources" / str(number)) for number, source in enumerate(spec["sources"])]
    if not _names_files(spec.get("splits")):
        paths = [source.get("path") for source in spec["sources"]]
        sources = gather_folder(paths, sources, folder / "folder")
    options = {name: spec.get(name) for name in ("task", "format", "columns", "splits", "quoting")}
    limits = worker_settings().import_limits()
    earlier = _fetch_earlier(spec, folder / "earlier") if spec.get("earlier") else {}
    return {"sources": [str(source) for source in sources], **options, **earlier, "limits": limits}


def _fetch_earlier(spec: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Fetch the version that rows are appended to; raises `DataError` if it was deleted."""
    try:
        with reading() as session:
            row = datasets.get(session, spec["earlier"])
    except NotFound as error:
        raise DataError(
            f"{spec['earlier_name']}, whose rows come first, was deleted", hint="Upload all files as a dataset."
        ) from error
    return {"earlier": str(fetch_dataset(row, folder)), "earlier_name": spec["earlier_name"]}


def fetch_dataset(row: Dataset, folder: Path) -> Path:
    """Fetch the files of a stored dataset."""
    return blobs().fetch_tree(row.key or f"datasets/{row.id}", folder)


def size_of(arguments: Mapping[str, Any]) -> int:
    """Return the bytes of all files that an import reads."""
    earlier = Path(arguments["earlier"]).rglob("*") if arguments.get("earlier") else ()
    files = [*map(Path, arguments["sources"]), *earlier]
    return sum(file.stat().st_size for file in files if file.is_file())


def _license_of(spec: Mapping[str, Any], report: Mapping[str, Any]) -> str | None:
    """Return the license that an upload states, with that of earlier rows."""
    stated: str | None = report.get("license")
    if not spec.get("earlier"):
        return stated
    with reading() as session:
        earlier = datasets.get(session, spec["earlier"]).license
    return combine_licenses([earlier, stated])


def fetch_sources(source: dict[str, str], folder: Path) -> Path:
    """Fetch an uploaded file, under its original name, by which formats are detected."""
    folder.mkdir(parents=True)
    name = Path(source["filename"]).name
    file = blobs().fetch_file(source["key"], folder / f"fetched-{name}")
    link = folder / name
    link.symlink_to(file)
    return link


def gather_folder(paths: Sequence[str | None], files: Sequence[Path], into: Path) -> list[Path]:
    """Replace files that belong together by a zip, which is read with paths.

    Files of two folders do, and images or audio clips with all that lies beside them: annotations, lists, transcripts.

    Args:
        paths: Path of each file in its folder; None for a file that was sent by itself.
        files: The files. Archives and compressed files stay as they are: within a zip they are not read.
        into: Folder for the zip, to be created. The zip is named after the folder.

    Returns:
        The zip, if there are such files, and the files that are not in it.
    """
    has_archive = any(file.name.lower().endswith(ARCHIVE_SUFFIXES) for file in files)
    members: dict[str, Path] = {}
    for path, file in zip(paths, files, strict=True):
        # A list without a folder beside an archive may be that of its files.
        name = path or (None if has_archive else file.name)
        if name and not file.name.lower().endswith(ARCHIVE_SUFFIXES):
            members.setdefault(name, file)
    if not _belong_together(members):
        return list(files)
    into.mkdir()
    tops = {PurePosixPath(path).parts[0] for path in members if "/" in path}
    archive = into / f"{tops.pop() if len(tops) == 1 else 'folder'}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED, strict_timestamps=False) as target:
        for path, file in members.items():
            target.write(file, path)
    gathered = set(members.values())
    return [archive, *(file for file in files if file not in gathered)]


def _belong_together(paths: Collection[str]) -> bool:
    """Return whether files must be read together.

    Tables beside each other are read in turn, without a copy.
    """
    parsed = [PurePosixPath(path) for path in paths]
    has_media = any(path.suffix.lower() in MEDIA_SUFFIXES for path in parsed)
    folders = {path.parent for path in parsed if len(path.parts) > 1}
    return len(folders) > 1 or (has_media and len(parsed) > 1)


def _names_files(splits: Mapping[str, Any] | None) -> bool:
    """Return whether splits are requested by the names of files, rather than as fractions."""
    return any(isinstance(split, str) for split in (splits or {}).values())


def limits_for(uploaded_bytes: int, settings: WorkerSettings) -> sandbox.ResourceLimits:
    """Return limits that grow with the upload: a decompression bomb is small."""
    seconds = settings.import_cpu_seconds + settings.import_cpu_seconds_per_megabyte * uploaded_bytes / MEGABYTE
    return sandbox.ResourceLimits(
        memory_bytes=settings.import_memory_bytes,
        cpu_seconds=int(seconds),
        file_bytes=max(MIN_FILE_LIMIT_BYTES, EXPANSION * uploaded_bytes),
    )


def make_limit_report(limit: sandbox.LimitExceeded) -> dict[str, Any]:
    """Return the report on an upload that exceeded a limit."""
    setting = LIMIT_SETTINGS.get(limit.resource)
    raised = f"Raise {setting} of the worker, or upload less" if setting else "Upload less"
    error = {
        "code": "too_costly",
        "count": 1,
        "severity": "error",
        "hint": f"{raised}: {limit}.",
        "sample": [{"found": str(limit)}],
    }
    counts = dict.fromkeys(("rows", "accepted", "repaired", "rejected"), 0)
    return {"state": "rejected", **counts, "errors": [error], "splits": {}, "classes": None, "suggestions": []}


def publish(claim: Claim, dataset: Path, report: dict[str, Any]) -> None:
    """Publish the dataset if it is ready, then end its validation."""
    is_ready, size = report["state"] == "ready", 0
    key = f"datasets/{claim.dataset_id}"
    if is_ready:
        reject_links(dataset)
        size = sum(file.stat().st_size for file in dataset.rglob("*"))
        blobs().put_tree(key, dataset, move=True)
    summary, license = report.pop("summary", None), report.pop("license", None)

    retrying_transaction(
        lambda session: jobs.finish_validation(
            session, claim, ready=is_ready, report=report, summary=summary, key=key, size=size, license=license
        )
    )


def reject_links(folder: Path) -> None:
    """Raise `ReaderDied` for a link.

    A compromised reader could leave one to a file that is not its own.

    A hard link counts, too: the folder is moved to the blobs, and a second name would let others change it there.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1):
            raise sandbox.ReaderDied(f"the reader left a link: {path.name}")


if __name__ == "__main__":
    sys.exit(entrypoint.main(validate))
