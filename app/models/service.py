"""How rows of models are shown, and what must follow when one is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.models.schemas import (
    Alias,
    AliasChange,
    Lineage,
    LineageDataset,
    Model,
    ModelVersion,
    ModelVersionInFull,
    PackageFile,
    Parent,
)
from app.models.zip_stream import blocks
from ml.package.manifest import MANIFEST, parse_manifest
from store import jobs, models
from store.errors import Conflict, NotFound
from store.pagination import Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Session

    from app.serving.resolver import NameResolver
    from store.blobs import Blobs
    from store.tables import Alias as AliasRow
    from store.tables import Model as ModelRow


def summary(session: Session, name: str) -> Model:
    """One name and what stands under it; raises `NotFound`."""
    rows = models.versions(session, name)
    return Model(
        name=name,
        task=rows[0].task,
        latest_version=rows[0].version,
        versions=len(rows),
        aliases=alias_versions(session, name),
        created_at=rows[-1].created_at,
        updated_at=rows[0].created_at,
    )


def alias_versions(session: Session, name: str) -> dict[str, int]:
    """Alias -> version."""
    return {row.alias: row.version for row in models.aliases(session, name)}


def version_page(session: Session, name: str, *, limit: int, cursor: str | None) -> Page[ModelRow]:
    """Versions from the one before `cursor` on, newest first; raises `NotFound`."""
    before = int(cursor) if cursor else None
    rows = [row for row in models.versions(session, name) if before is None or row.version < before]
    shown = rows[:limit]
    return Page(shown, str(shown[-1].version) if len(rows) > limit else None)


def to_response(session: Session, row: ModelRow) -> ModelVersion:
    """A version as clients see it."""
    dataset, parent = models.origin(session, row)
    return ModelVersion(
        id=row.id,
        name=row.name,
        version=row.version,
        task=row.task,
        architecture=row.architectures,
        parameters=row.parameters,
        bytes=row.bytes,
        metrics=row.metrics,
        labels=row.labels,
        lineage=Lineage(
            job=row.job_id,
            dataset=LineageDataset(id=dataset.id, digest=(dataset.summary or {}).get("digest")) if dataset else None,
            parent=Parent(name=parent.name, version=parent.version) if parent else None,
        ),
        files=[PackageFile.model_validate(file) for file in row.files],
        formats=row.formats,
        aliases=[alias for alias, version in alias_versions(session, row.name).items() if version == row.version],
        created_at=row.created_at,
    )


def to_full_response(session: Session, row: ModelRow, blobs: Blobs) -> ModelVersionInFull:
    """The same with what the manifest says of its graphs."""
    with blobs.open(f"{row.key}/{MANIFEST}") as file:
        manifest = parse_manifest(file.read())
    return ModelVersionInFull(
        **to_response(session, row).model_dump(),
        warnings=(jobs.get(session, row.job_id).report or {}).get("warnings", []),
        engine="onnxruntime" if manifest.graphs else "torch",
        engine_reason=None if manifest.graphs else manifest.no_graph_reason or "it was not exported",
        graphs=manifest.graphs,
    )


def packed_paths(row: ModelRow) -> list[str]:
    """The files of a package, the manifest that names all others first."""
    return [MANIFEST, *(file["path"] for file in row.files if file["path"] != MANIFEST)]


def exported(key: str, blobs: Blobs) -> Iterator[bytes]:
    """A version in another library's format; raises `Conflict` where no job has made that yet."""
    try:
        return blocks(blobs.open(key))
    except NotFound:
        hint = (
            'Start one: POST /api/v1/jobs {"kind": "export", "model": "name@version"}, and come again once it is done'
        )
        raise Conflict(f"no job has exported this version yet. {hint}") from None


def to_alias_response(row: AliasRow) -> Alias:
    """An alias as clients see it."""
    return Alias(
        model=row.model_name, alias=row.alias, version=row.version, etag=models.etag(row), updated_at=row.updated_at
    )


def history(session: Session, name: str, alias: str) -> list[AliasChange]:
    """What an alias meant, newest first."""
    return [AliasChange.of(row) for row in models.alias_history(session, name, alias)]


def drop(keys: Sequence[str], blobs: Blobs, names: NameResolver) -> None:
    """Once rows are gone for good: no request finds the model any more, and its files go."""
    names.clear()
    for key in keys:
        blobs.delete(key)
