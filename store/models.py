"""Model registry: versions and model aliases. Only `store.jobs.succeed` creates a version."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, cast, func, or_, select, update
from sqlalchemy import delete as delete_rows

from store.database import lock
from store.errors import Conflict, NotFound, PreconditionFailed, name_some
from store.ids import new_id, version_number
from store.pagination import Page, newest_first
from store.tables import (
    Alias,
    AliasChange,
    Dataset,
    Feedback,
    Job,
    JobKind,
    Model,
    RequestRecord,
    TrafficSplit,
    Watch,
    clock,
)
from store.webhooks import outbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

#: The alias that a bare model name refers to, if it is set.
PRODUCTION = "production"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel:
    """The row of a published package that is about to be registered."""

    id: str
    name: str
    task: str | None
    architectures: dict[str, str]
    parameters: int
    bytes: int
    metrics: dict[str, float]
    labels: list[str] | None
    formats: list[str]
    files: list[dict[str, Any]]
    key: str
    manifest_sha256: str
    parent_id: str | None
    license: str | None = None


@dataclass(frozen=True, slots=True)
class NameHistory:
    """The versions of a name that are not deleted, and its aliases."""

    versions: int
    #: When the oldest of them was made.
    created_at: datetime
    aliases: dict[str, int]


@dataclass(frozen=True, slots=True)
class PartLicense:
    """License of a model, or of a dataset or model that it was made of."""

    #: `dataset` or `model`.
    kind: str
    #: `name@version`.
    reference: str
    license: str


def register(session: Session, new_model: NewModel, *, job_id: str, dataset_id: str | None) -> Model:
    """Add a model as the next version of its name; version numbers are never reused."""
    lock(session, f"model {new_model.name}")
    last = session.scalar(select(func.max(Model.version)).where(Model.name == new_model.name))
    session.execute(update(Model).where(Model.name == new_model.name, Model.is_latest).values(is_latest=False))
    model = Model(**asdict(new_model), version=(last or 0) + 1, job_id=job_id, dataset_id=dataset_id)
    session.add(model)
    session.flush()
    session.refresh(model)
    _emit_version(session, "created", model)
    return model


def _emit_version(session: Session, event: str, model: Model) -> None:
    data = {"id": model.id, "name": model.name, "version": model.version, "task": model.task, "job": model.job_id}
    outbox.emit(session, f"model.version.{event}", data, model=model.name)


def version(session: Session, reference: str) -> Model:
    """Look up `name` (its production alias, else the latest), `name@3`, `name@alias` or an id.

    Raises `NotFound`.
    """
    name, _, selector = reference.partition("@")
    if not selector and (model := session.scalar(_live().where(Model.id == name))):
        return model
    if selector.isdecimal():
        number = version_number(selector)
    else:
        number = _version_of_alias(session, name, selector or PRODUCTION)
    if number is None and selector:
        raise NotFound("model", reference, references(session, name) or names(session))
    query = _live().where(Model.name == name)
    query = (
        query.where(Model.version == number) if number is not None else query.order_by(Model.version.desc()).limit(1)
    )
    model = session.scalar(query)
    if model is None:
        raise NotFound("model", reference, references(session, name) or names(session))
    return model


def references(session: Session, name: str) -> list[str]:
    """List `name@version`, the newest first, then `name@alias`; empty if there is no such model."""
    numbers = session.scalars(_live().with_only_columns(Model.version).where(Model.name == name))
    selectors = [*map(str, sorted(numbers, reverse=True)), *(row.alias for row in aliases(session, name))]
    return [f"{name}@{selector}" for selector in selectors]


def _live() -> Select[Model]:
    return select(Model).where(Model.deleted_at.is_(None))


def _version_of_alias(session: Session, name: str, alias: str) -> int | None:
    return session.scalar(select(Alias.version).where(Alias.model_name == name, Alias.alias == alias))


def listing(session: Session, *, limit: int, cursor: str | None, among: Sequence[str] | None = None) -> Page[Model]:
    """List the latest version of each name, or of the names in `among`, newest first."""
    query = select(Model).where(Model.is_latest)
    if among is not None:
        query = query.where(Model.name.in_(among))
    return newest_first(session, query, Model.id, limit=limit, cursor=cursor)


def latest(session: Session, name: str) -> Model:
    """Return the latest version of a name; raises `NotFound`."""
    row = session.scalar(select(Model).where(Model.name == name, Model.is_latest))
    if row is None:
        raise NotFound("model", name, names(session))
    return row


def histories(session: Session, names: Sequence[str]) -> dict[str, NameHistory]:
    """Return the history of each of these names that has a version."""
    query = select(Model.name, func.count(), func.min(Model.created_at)).group_by(Model.name)
    rows = session.execute(query.where(Model.name.in_(names), Model.deleted_at.is_(None))).all()
    aliases: dict[str, dict[str, int]] = {}
    for alias in session.scalars(select(Alias).where(Alias.model_name.in_(names)).order_by(Alias.alias)):
        aliases.setdefault(alias.model_name, {})[alias.alias] = alias.version
    return {name: NameHistory(count, created_at, aliases.get(name, {})) for name, count, created_at in rows}


def version_page(session: Session, name: str, *, limit: int, cursor: str | None) -> Page[Model]:
    """Return a page of the versions older than `cursor`, newest first; raises `NotFound`."""
    latest(session, name)
    query = _live().where(Model.name == name).order_by(Model.version.desc()).limit(limit + 1)
    rows = session.scalars(query.where(Model.version < int(cursor)) if cursor else query).all()
    return Page(rows[:limit], str(rows[limit - 1].version) if len(rows) > limit else None)


def versions(session: Session, name: str) -> Sequence[Model]:
    """List the versions of a name, newest first; raises `NotFound` if there is none."""
    rows = session.scalars(_live().where(Model.name == name).order_by(Model.version.desc())).all()
    if not rows:
        raise NotFound("model", name, names(session))
    return rows


def of_job(session: Session, job_id: str) -> Model | None:
    """Return the model that a job registered, or None."""
    return session.scalar(select(Model).where(Model.job_id == job_id))


def origin(session: Session, model: Model) -> tuple[Dataset | None, Model | None]:
    """Return the dataset and the base model of a model, even if deleted since."""
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id else None
    return dataset, session.get(Model, model.parent_id) if model.parent_id else None


def license_of_dataset(dataset: Dataset) -> list[PartLicense]:
    """Return the license of a dataset, empty if it is not known."""
    reference = f"{dataset.name}@{dataset.version}"
    return [PartLicense("dataset", reference, dataset.license)] if dataset.license else []


def licenses_of_job(session: Session, job: Job) -> list[PartLicense]:
    """List the licenses of the dataset and models that a job trains on."""
    return licenses_of_spec(session, job.kind, job.spec, job.dataset_id)


def licenses_of_spec(session: Session, kind: str, spec: Mapping[str, Any], dataset_id: str | None) -> list[PartLicense]:
    """List the licenses of the dataset and models that a resolved spec trains on."""
    dataset = session.get(Dataset, dataset_id) if dataset_id else None
    parts = license_of_dataset(dataset) if dataset else []
    references = _references(spec)
    if kind == JobKind.PRUNE:  # There, `model` is what it starts from, elsewhere what it makes or reads.
        references |= {spec["model"]}
    for reference in sorted(references):
        model = _find_pinned(session, reference)
        parts += licenses(session, model) if model else []
    return list(dict.fromkeys(parts))


def licenses(session: Session, model: Model) -> list[PartLicense]:
    """List the licenses of a model and of all that it was made of.

    The model comes first. Each dataset and model occurs once; those whose license is not known are left out.
    """
    parts: dict[tuple[str, str], PartLicense] = {}
    pending, visited = [model], {model.id}
    while pending:
        part = pending.pop(0)
        _add_license(parts, "model", f"{part.name}@{part.version}", part.license)
        dataset, parent = origin(session, part)
        for license in license_of_dataset(dataset) if dataset else ():
            _add_license(parts, license.kind, license.reference, license.license)
        job = session.get(Job, part.job_id)
        others = [_find_pinned(session, reference) for reference in _references(job.spec if job else {})]
        for base in (parent, *others):
            if base is not None and base.id not in visited:
                visited.add(base.id)
                pending.append(base)
    return list(parts.values())


def _add_license(parts: dict[tuple[str, str], PartLicense], kind: str, reference: str, license: str | None) -> None:
    if license:
        parts.setdefault((kind, reference), PartLicense(kind, reference, license))


def _references(spec: Any) -> set[str]:
    """Return the texts in a spec that may name versions of models."""
    if isinstance(spec, dict):
        values = [value for key, value in spec.items() if key not in ("dataset", "model", "source")]
        return set().union(*(_references(value) for value in values))
    if isinstance(spec, list):
        return set().union(*(_references(value) for value in spec))
    return {spec} if isinstance(spec, str) and "@" in spec else set()


def _find_pinned(session: Session, reference: str) -> Model | None:
    """Return the model `name@3`, even if deleted since; None if there is none."""
    name, _, number = reference.partition("@")
    if not number.isdecimal() or len(number) > 9:
        return None
    return session.scalar(select(Model).where(Model.name == name, Model.version == int(number)))


def export_key(model_id: str, format: str) -> str:
    """Return the blob key of a model's export to another format.

    One zip, written by an export job.
    """
    return f"exports/{model_id}/{format}.zip"


def names(session: Session) -> Sequence[str]:
    """List the names of all models in alphabetical order."""
    live = select(Model.name).where(Model.deleted_at.is_(None))
    return session.scalars(live.distinct().order_by(Model.name)).all()


def aliases(session: Session, name: str) -> Sequence[Alias]:
    """List the aliases of one model in alphabetical order."""
    return session.scalars(select(Alias).where(Alias.model_name == name).order_by(Alias.alias)).all()


def alias_of(session: Session, name: str, alias: str) -> Alias:
    """Return an alias; raises `NotFound`."""
    row = session.get(Alias, (name, alias), populate_existing=True)
    if row is None:
        raise NotFound("alias", f"{name}@{alias}")
    return row


def etag(row: Alias) -> str:
    """Return the entity tag of an alias, which changes whenever the alias moves."""
    return f'"{row.version}-{row.revision}"'


def set_alias(session: Session, name: str, alias: str, version: int, *, if_match: str | None = None) -> Alias:
    """Point an alias at a version. Its traffic is not split any more.

    `if_match` is the entity tag that the caller read last, or `*` for any.

    Raises:
        Conflict: The alias is a number.
        NotFound: There is no such version.
        PreconditionFailed: The alias has moved since.
    """
    if alias.isdecimal():
        raise Conflict(f"the alias {alias!r} is a number, and numbers are versions; use a name")
    if session.scalar(_live().where(Model.name == name, Model.version == version)) is None:
        raise NotFound("model", f"{name}@{version}")
    current = _lock_alias(session, name, alias, if_match)
    if current is None:
        session.add(Alias(model_name=name, alias=alias, version=version))
    else:
        session.execute(
            update(Alias)
            .where(Alias.model_name == name, Alias.alias == alias)
            .values(version=version, revision=Alias.revision + 1, updated_at=clock())
        )
    _end_split(session, name, alias)
    session.add(AliasChange(id=new_id("chg"), model_name=name, alias=alias, version=version))
    session.flush()
    outbox.emit(session, "alias.set", {"model": name, "alias": alias, "version": version}, model=name)
    return alias_of(session, name, alias)


def remove_alias(session: Session, name: str, alias: str, *, if_match: str | None = None) -> None:
    """Remove an alias; its history stays. Raises `NotFound` or `PreconditionFailed`."""
    current = _lock_alias(session, name, alias, if_match)
    if current is None:
        raise NotFound("alias", f"{name}@{alias}")
    session.delete(current)
    _end_split(session, name, alias)
    session.add(AliasChange(id=new_id("chg"), model_name=name, alias=alias, version=None))
    session.flush()
    outbox.emit(session, "alias.removed", {"model": name, "alias": alias}, model=name)


def alias_history(session: Session, name: str, alias: str) -> Sequence[AliasChange]:
    """List the moves of an alias, newest first."""
    query = select(AliasChange).where(AliasChange.model_name == name, AliasChange.alias == alias)
    return session.scalars(query.order_by(AliasChange.id.desc())).all()


def delete(session: Session, name: str, number: int) -> list[str]:
    """Mark one version as deleted and return the keys of its blobs.

    Raises `Conflict` while an alias or an unfinished job refers to it.
    """
    model = version(session, f"{name}@{number}")
    alias_names = session.scalars(select(Alias.alias).where(Alias.model_name == name, Alias.version == number)).all()
    if alias_names:
        raise Conflict(f"{name}@{number} is {', '.join(alias_names)}; move or delete the alias first")
    splits = select(TrafficSplit.alias).where(TrafficSplit.model_name == name, TrafficSplit.version == number)
    if split_aliases := session.scalars(splits).all():
        aliases = ", ".join(split_aliases)
        raise Conflict(f"{name}@{number} gets traffic of {aliases}; end the split of this alias first")
    references = (model.id, f"{name}@{number}")
    if needed_by := _jobs_that_refer_to(session, references):
        raise Conflict(f"{name}@{number} is needed by {name_some(needed_by)}; cancel these jobs first")
    session.execute(update(Model).where(Model.id == model.id).values(deleted_at=clock(), is_latest=False))
    _emit_version(session, "deleted", model)
    last = session.scalar(select(func.max(Model.version)).where(Model.name == name, Model.deleted_at.is_(None)))
    session.execute(update(Model).where(Model.name == name, Model.version == last).values(is_latest=True))
    if last is None:
        _forget_traffic(session, name)
    return [model.key, f"exports/{model.id}"]


def _forget_traffic(session: Session, name: str) -> None:
    """Delete everything that was stored of the requests of a model without versions."""
    for table in (Watch, RequestRecord, Feedback):
        session.execute(delete_rows(table).where(table.model_name == name))


def _jobs_that_refer_to(session: Session, references: Sequence[str]) -> list[str]:
    """Return the unfinished jobs whose spec has one of the references as a value.

    The database looks for their texts, as a long queue would not fit in memory; few specs remain to be read.
    """
    text = cast(Job.spec, String)
    mentions = or_(*(text.contains(reference, autoescape=True) for reference in references))
    query = select(Job.id, Job.spec).where(Job.state.in_(("queued", "running")), mentions)
    return [job_id for job_id, spec in session.execute(query) if _refers_to(spec, set(references))]


def _refers_to(spec: Any, references: set[str]) -> bool:
    """Return whether any value in a spec is one of the references.

    `dataset` is left out, as datasets are not models.
    """
    if isinstance(spec, dict):
        return any(_refers_to(value, references) for key, value in spec.items() if key != "dataset")
    if isinstance(spec, list):
        return any(_refers_to(value, references) for value in spec)
    return spec in references


def _end_split(session: Session, name: str, alias: str) -> None:
    session.execute(delete_rows(TrafficSplit).where(TrafficSplit.model_name == name, TrafficSplit.alias == alias))


def lock_alias(session: Session, name: str, alias: str) -> Alias:
    """Return an alias that nobody else moves until the transaction ends; raises `NotFound`."""
    _lock_alias(session, name, alias, None)
    return alias_of(session, name, alias)


def _lock_alias(session: Session, name: str, alias: str, if_match: str | None) -> Alias | None:
    query = select(Alias).where(Alias.model_name == name, Alias.alias == alias).with_for_update()
    current = session.scalar(query.execution_options(populate_existing=True))
    if if_match is not None and (current is None or if_match not in ("*", etag(current))):
        raise PreconditionFailed(f"{name}@{alias} has changed since it was read; read it again, then retry")
    return current
