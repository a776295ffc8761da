"""A database of version 1 is migrated, and every row is still listed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from pydantic import TypeAdapter
from sqlalchemy import Engine, MetaData, Select, Table, create_engine, func, insert, select
from sqlalchemy.orm import Session

from migrations.__main__ import configuration, upgrade
from ml.package import version_1
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.schema import Spec
from store import api_keys, datasets, jobs, models
from store.database import make_engine
from store.tables import Event
from tests.fixtures.version_1.home import API_KEY, FACTS, write_database
from tests.support.servers import Postgres

REVISION = "0001"


def order_rows(table: Table) -> Select[Any]:
    """All rows of a table, ordered by its primary key."""
    return select(table).order_by(*table.primary_key)


def copy_rows(source: Engine, target: Engine) -> None:
    """All rows of one database into another of the same revision."""
    metadata = MetaData()
    metadata.reflect(source)
    with source.connect() as reading, target.begin() as writing:
        for table in metadata.sorted_tables:
            rows = [dict(row) for row in reading.execute(select(table)).mappings()]
            if rows and table.name != "alembic_version":
                writing.execute(insert(table), rows)


@pytest.fixture(params=["sqlite", "postgresql"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    """Over the database of version 1, brought up to date."""
    source = f"sqlite:///{write_database(tmp_path / 'plinth.db')}"
    server = Postgres().start() if request.param == "postgresql" else None
    engine = make_engine(server.url() if server else source)
    if server:
        with engine.begin() as connection:
            config = configuration()
            config.attributes["connection"] = connection
            command.upgrade(config, REVISION)
        copied = create_engine(source)
        copy_rows(copied, engine)
        copied.dispose()
    with engine.begin() as connection:
        upgrade(connection)
    with Session(engine) as session:
        yield session
    engine.dispose()
    if server:
        server.stop()


def test_every_row_is_still_listed(session: Session) -> None:
    listed = datasets.listing(session, limit=10, cursor=None).items
    assert {row.name: row.id for row in listed} == FACTS["datasets"]
    assert {row.state for row in listed} == {"ready"}

    listed_jobs = {row.id: row for row in jobs.listing(session, limit=10, cursor=None).items}
    assert listed_jobs.keys() == set(FACTS["jobs"].values())
    paused, queued = (listed_jobs[FACTS["jobs"][name]] for name in ("paused", "queued"))
    assert (paused.state, paused.requested) == ("queued", "pause")
    assert (queued.state, queued.requested) == ("queued", None)
    assert max(row.step for row in jobs.checkpoints(session, paused.id)) == FACTS["checkpoint_step"]

    versions = {row.name: row for row in models.listing(session, limit=10, cursor=None).items}
    assert versions.keys() == {"shades", "words-base"}
    assert models.version(session, "shades@production").id == versions["shades"].id

    counted = session.execute(select(Event.job_id, func.count()).group_by(Event.job_id)).all()
    assert {row[0]: row[1] for row in counted} == FACTS["events"]


def test_its_api_key_is_valid(session: Session) -> None:
    assert [row.name for row in api_keys.listing(session, limit=10, cursor=None).items] == ["second", "first"]
    verified = api_keys.verify(session, API_KEY)
    assert verified is not None
    assert verified.name == "first"


def test_its_queued_jobs_have_valid_specs(session: Session) -> None:
    for name in ("paused", "queued"):
        spec = TypeAdapter(Spec).validate_python(jobs.get(session, FACTS["jobs"][name]).spec)
        assert check(spec, Catalog.load()) == []


def test_public_names_in_stored_specs_are_renamed(session: Session) -> None:
    pretrain, finetune = (jobs.get(session, FACTS["jobs"][name]).spec for name in ("paused", "queued"))
    assert pretrain["objective"]["name"] == "masked_language_modeling"
    assert finetune["objective"]["name"] == "supervised"
    assert "prediction_fraction" in pretrain["objective"]["config"]
    assert "share" not in pretrain["objective"]["config"]
    assert pretrain["schedule"]["min_steps"] == 400
    assert pretrain["schedule"]["min_batches_per_epoch"] == 2
    assert finetune["schedule"]["min_steps"] == 60
    assert not {"least_steps", "least_batches"} & (pretrain["schedule"].keys() | finetune["schedule"].keys())


@pytest.mark.parametrize("owner", version_1.OPTIONS)
def test_specs_in_the_database_and_in_packages_are_upgraded_alike(owner: str) -> None:
    old_names = {new: old for old, new in version_1.OBJECTIVES.items()}
    choice = {"name": old_names.get(owner, owner), "config": dict.fromkeys(version_1.OPTIONS[owner], 1)}
    spec: dict[str, Any] = {
        "kind": "pretrain",
        "architecture": choice,
        "architectures": {"text": choice, "image": "cnn"},
        "head": choice,
        "objective": {"name": "masked_language_modelling", "config": {"share": 0.15}},
        "tuning": choice,
        "schedule": {
            **dict.fromkeys(version_1.SCHEDULE_FIELDS, 2),
            "early_stopping": {"monitor": "validation/twin_accuracy", "patience": 2},
        },
    }
    migration = importlib.import_module("migrations.versions.20261128_plain_words")
    rewritten = migration.rewrite_spec(spec, migration.NAMES)
    assert rewritten != spec
    assert rewritten == version_1.upgrade_spec(spec)
    assert migration.rewrite_spec(rewritten, migration.NAMES.reverse()) == spec


def test_a_downgrade_restores_all_rows(session: Session, tmp_path: Path) -> None:
    source = create_engine(f"sqlite:///{write_database(tmp_path / 'before.db')}")
    metadata = MetaData()
    metadata.reflect(source)
    with source.connect() as reading:
        before = {table.name: reading.execute(order_rows(table)).all() for table in metadata.sorted_tables}
    source.dispose()
    config = configuration()
    config.attributes["connection"] = session.connection()
    command.downgrade(config, REVISION)
    after = MetaData()
    after.reflect(session.connection())
    for table in after.sorted_tables:
        assert session.execute(order_rows(table)).all() == before[table.name], table.name
