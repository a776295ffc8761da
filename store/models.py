"""Models: found by reference, moved to by aliases. A model is born only in `store.jobs.succeed`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from store.database import lock
from store.errors import Conflict, NotFound, PreconditionFailed
from store.ids import new_id, version_number
from store.pagination import Page, newest_first
from store.tables import Alias, AliasChange, Dataset, Job, Model, clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

PRODUCTION = "production"
"""The alias that a bare name means where it is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel:
    """A published package that is about to become a model."""

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


def register(session: Session, new: NewModel, *, job_id: str, dataset_id: str | None) -> Model:
    """The next version of its name; a number once given is never given again."""
    lock(session, f"model {new.name}")
    last = session.scalar(select(func.max(Model.version)).where(Model.name == new.name))
    model = Model(**asdict(new), version=(last or 0) + 1, job_id=job_id, dataset_id=dataset_id)
    session.add(model)
    session.flush()
    session.refresh(model)
    return model


def version(session: Session, reference: str) -> Model:
    """`name` (its production alias, else the latest), `name@3`, `name@alias` or an id. Raises `NotFound`."""
    name, _, wanted = reference.partition("@")
    if not wanted and (found := session.scalar(_live().where(Model.id == name))):
        return found
    number = version_number(wanted) if wanted.isdecimal() else _aliased(session, name, wanted or PRODUCTION)
    if number is None and wanted:
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
    """By what the versions of a name are asked for, the newest first; none where there is no such model."""
    numbers = session.scalars(_live().with_only_columns(Model.version).where(Model.name == name))
    found = [*map(str, sorted(numbers, reverse=True)), *(row.alias for row in aliases(session, name))]
    return [f"{name}@{each}" for each in found]


def _live() -> Select[Model]:
    return select(Model).where(Model.deleted_at.is_(None))


def _aliased(session: Session, name: str, alias: str) -> int | None:
    return session.scalar(select(Alias.version).where(Alias.model_name == name, Alias.alias == alias))


def listing(session: Session, *, limit: int, cursor: str | None) -> Page[Model]:
    """The latest version of each name, newest first."""
    live = Model.deleted_at.is_(None)
    newest = select(Model.name, func.max(Model.version).label("version")).where(live).group_by(Model.name).subquery()
    query = select(Model).join(newest, (Model.name == newest.c.name) & (Model.version == newest.c.version))
    return newest_first(session, query, Model.id, limit=limit, cursor=cursor)


def versions(session: Session, name: str) -> Sequence[Model]:
    """Newest first; raises `NotFound` where there is none."""
    found = session.scalars(_live().where(Model.name == name).order_by(Model.version.desc())).all()
    if not found:
        raise NotFound("model", name, names(session))
    return found


def of_job(session: Session, job_id: str) -> Model | None:
    """What a job made."""
    return session.scalar(select(Model).where(Model.job_id == job_id))


def origin(session: Session, model: Model) -> tuple[Dataset | None, Model | None]:
    """The data it was made of and the base it started from, whether or not they have been deleted since."""
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id else None
    return dataset, session.get(Model, model.parent_id) if model.parent_id else None


def export_key(model_id: str, format: str) -> str:
    """Where a version lies among the blobs in another library's format, once a job has made that: one zip."""
    return f"exports/{model_id}/{format}.zip"


def names(session: Session) -> Sequence[str]:
    """All of them, in order."""
    live = select(Model.name).where(Model.deleted_at.is_(None))
    return session.scalars(live.distinct().order_by(Model.name)).all()


def aliases(session: Session, name: str) -> Sequence[Alias]:
    """Those of one model."""
    return session.scalars(select(Alias).where(Alias.model_name == name).order_by(Alias.alias)).all()


def alias_of(session: Session, name: str, alias: str) -> Alias:
    """Raises `NotFound`."""
    found = session.get(Alias, (name, alias), populate_existing=True)
    if found is None:
        raise NotFound("alias", f"{name}@{alias}")
    return found


def etag(row: Alias) -> str:
    """Changes with each move."""
    return f'"{row.version}-{row.revision}"'


def set_alias(session: Session, name: str, alias: str, version: int, *, if_match: str | None = None) -> Alias:
    """Point an alias at a version. `if_match` is the tag the caller last saw, or `*` for any.

    Raises `NotFound` where there is no such version, `PreconditionFailed` where the alias has moved since.
    """
    if alias.isdecimal():
        raise Conflict("an alias cannot be a number: numbers are versions")
    if session.scalar(_live().where(Model.name == name, Model.version == version)) is None:
        raise NotFound("model", f"{name}@{version}")
    current = _locked(session, name, alias, if_match)
    if current is None:
        session.add(Alias(model_name=name, alias=alias, version=version))
    else:
        session.execute(
            update(Alias)
            .where(Alias.model_name == name, Alias.alias == alias)
            .values(version=version, revision=Alias.revision + 1, updated_at=clock())
        )
    session.add(AliasChange(id=new_id("chg"), model_name=name, alias=alias, version=version))
    session.flush()
    return alias_of(session, name, alias)


def remove_alias(session: Session, name: str, alias: str, *, if_match: str | None = None) -> None:
    """Forget an alias; its history stays. Raises as `set_alias` does."""
    current = _locked(session, name, alias, if_match)
    if current is None:
        raise NotFound("alias", f"{name}@{alias}")
    session.delete(current)
    session.add(AliasChange(id=new_id("chg"), model_name=name, alias=alias, version=None))
    session.flush()


def alias_history(session: Session, name: str, alias: str) -> Sequence[AliasChange]:
    """Newest first."""
    query = select(AliasChange).where(AliasChange.model_name == name, AliasChange.alias == alias)
    return session.scalars(query.order_by(AliasChange.id.desc())).all()


def delete(session: Session, name: str, number: int) -> list[str]:
    """Forget one version and return the keys of its files; raises `Conflict` while an alias or a job needs it."""
    model = version(session, f"{name}@{number}")
    pointing = session.scalars(select(Alias.alias).where(Alias.model_name == name, Alias.version == number)).all()
    if pointing:
        raise Conflict(f"{name}@{number} is {', '.join(pointing)}; move or delete the alias first")
    wanted = session.scalars(select(Job).where(Job.state.in_(("queued", "running")))).all()
    waiting = [job.id for job in wanted if _names(job.spec, {model.id, f"{name}@{number}"})]
    if waiting:
        raise Conflict(f"{name}@{number} is needed by {', '.join(waiting)}; cancel these first")
    session.execute(update(Model).where(Model.id == model.id).values(deleted_at=clock()))
    return [model.key, f"exports/{model.id}"]


def _names(spec: Any, references: set[str]) -> bool:
    """Whether any value in a spec is one of these: to start from, or an option. Datasets have names of their own."""
    if isinstance(spec, dict):
        return any(_names(each, references) for key, each in spec.items() if key != "dataset")
    if isinstance(spec, list):
        return any(_names(each, references) for each in spec)
    return spec in references


def _locked(session: Session, name: str, alias: str, if_match: str | None) -> Alias | None:
    query = select(Alias).where(Alias.model_name == name, Alias.alias == alias).with_for_update()
    current = session.scalar(query.execution_options(populate_existing=True))
    if if_match is not None and (current is None or if_match not in ("*", etag(current))):
        raise PreconditionFailed(f"{name}@{alias} has changed since you read it; read it again")
    return current
