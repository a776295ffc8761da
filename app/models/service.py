"""Converts rows of models to responses, reads their files, and cleans up after deletions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.http.pagination import ListOf
from app.jobs.schemas import License
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
from ml.package.manifest import MANIFEST, parse_manifest
from store import jobs, models
from store.adaptation import watches
from store.pagination import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.serving.resolver import NameResolver
    from store.blobs import Blobs
    from store.tables import Alias as AliasRow
    from store.tables import Model as ModelRow


def summary(session: Session, name: str) -> Model:
    """Describe all versions of a model; raises `NotFound`."""
    return summaries(session, Page([models.latest(session, name)], None)).data[0]


def summaries(session: Session, page: Page[ModelRow]) -> ListOf[Model]:
    """Describe the models of a page, which has the latest version of each."""
    names = [row.name for row in page.items]
    histories, watched = models.histories(session, names), watches.watched_names(session, names)

    def convert(row: ModelRow) -> Model:
        history = histories[row.name]
        return Model(
            name=row.name,
            task=row.task,
            latest_version=row.version,
            versions=history.versions,
            aliases=history.aliases,
            is_watched=row.name in watched,
            created_at=history.created_at,
            updated_at=row.created_at,
        )

    return ListOf.of(page, convert)


def alias_versions(session: Session, name: str) -> dict[str, int]:
    """Map each alias to its version."""
    return {row.alias: row.version for row in models.aliases(session, name)}


def to_response(session: Session, row: ModelRow) -> ModelVersion:
    """Convert a row."""
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
        license=row.license,
        licenses=[License.of(part) for part in models.licenses(session, row)],
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
    """Convert a row, with its graphs from the manifest."""
    with blobs.open(f"{row.key}/{MANIFEST}") as file:
        manifest = parse_manifest(file.read())
    return ModelVersionInFull(
        **to_response(session, row).model_dump(),
        warnings=jobs.get(session, row.job_id).warnings or [],
        engine="onnxruntime" if manifest.graphs else "torch",
        engine_reason=None if manifest.graphs else manifest.no_graph_reason or "it was not exported",
        graphs=manifest.graphs,
    )


def package_paths(row: ModelRow) -> list[str]:
    """List the files of a package, the manifest first."""
    return [MANIFEST, *(file["path"] for file in row.files if file["path"] != MANIFEST)]


def to_alias_response(row: AliasRow) -> Alias:
    """Convert a row."""
    return Alias(
        model=row.model_name, alias=row.alias, version=row.version, etag=models.etag(row), updated_at=row.updated_at
    )


def alias_history(session: Session, name: str, alias: str) -> list[AliasChange]:
    """List the changes of an alias, newest first."""
    return [AliasChange.of(row) for row in models.alias_history(session, name, alias)]


def forget_models(keys: Sequence[str], blobs: Blobs, names: NameResolver) -> None:
    """Stop serving models whose rows have been deleted, and delete their files."""
    names.clear()
    for key in keys:
        blobs.delete(key)
