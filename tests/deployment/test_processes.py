"""Tests of the composition as processes, on a real PostgreSQL and Valkey.

`engine.py` says what replaces containers and MinIO. `worker-gpu` is the one service that is not
started: `test_files.py` shows that it is the worker with a GPU, and there may be none here.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import boto3
import psycopg
import pytest
import redis
from dotenv import dotenv_values
from redis.backoff import NoBackoff
from redis.retry import Retry

from plinth import Plinth
from tests.deployment.composition import COMPOSE_FILE, ENVIRONMENT_EXAMPLE
from tests.deployment.engine import Engine

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An `.env`, made as the example of one says."""
    folder = tmp_path_factory.mktemp("settings")
    example = ENVIRONMENT_EXAMPLE.read_text()
    (folder / ENVIRONMENT_EXAMPLE.name).write_text(example)
    script = "\n".join(re.findall(r"^#   (.*)$", example, re.MULTILINE))
    subprocess.run(["sh", "-c", script], cwd=folder, check=True)
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    return {name: value for name, value in dotenv_values(folder / ".env").items() if value is not None}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("engine"), variables) as engine:
        engine.up()
        yield engine


@pytest.fixture
def client(engine: Engine, variables: dict[str, str]) -> Iterator[Plinth]:
    with Plinth(f"http://127.0.0.1:{engine.ports['api']}", variables["PLINTH_API_KEY"]) as client:
        yield client


def test_everything_runs_and_what_should_end_has_ended_well(engine: Engine) -> None:
    ended = {name: process.poll() for name, process in engine.processes.items() if process.poll() is not None}
    assert ended == {"migrate": 0, "bucket": 0}
    assert engine.processes.keys() == engine.services.keys()
    with urlopen(f"http://127.0.0.1:{engine.ports['api']}/readyz") as answer:
        assert answer.status == 200


def test_a_dataset_becomes_a_model_that_answers(
    engine: Engine, client: Plinth, variables: dict[str, str], digits_zip: Path, digit_files: list[Path]
) -> None:
    client.datasets.wait(client.datasets.upload(digits_zip, name="digits").id)
    job = client.jobs.finetune(
        "digits", task="image_classification", architecture="cnn", model="digits", schedule={"epochs": 1}
    )
    client.jobs.wait(job.id)
    assert client.predict("digits", digit_files[0]).output["label"] in map(str, range(10))

    remaining = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{engine.ports['minio']}",
        region_name="us-east-1",
        aws_access_key_id="plinth",
        aws_secret_access_key=variables["MINIO_ROOT_PASSWORD"],
    )
    keys = [result["Key"] for result in remaining.list_objects_v2(Bucket="plinth")["Contents"]]
    assert {key.split("/")[0] for key in keys} >= {"datasets", "models"}
    assert not any((engine.volume("api") / "incoming").glob("*"))
    with psycopg.connect(database_address(engine, variables["POSTGRES_PASSWORD"])) as connection:
        assert connection.execute("SELECT state FROM job WHERE id = %s", (job.id,)).fetchone() == ("succeeded",)


def database_address(engine: Engine, password: str) -> str:
    return f"postgresql://plinth:{password}@127.0.0.1:{engine.ports['postgres']}/plinth"


def test_neither_store_lets_anybody_in_without_its_password(engine: Engine) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=engine.ports["valkey"], retry=Retry(NoBackoff(), 0)).ping()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(database_address(engine, "guessed"))


def test_no_secret_is_in_a_log(engine: Engine, variables: dict[str, str]) -> None:
    secrets = [variables[name] for name in re.findall(r"\$\{(\w+):\?", COMPOSE_FILE.read_text())]
    assert len(secrets) > 4
    for name in engine.services:
        assert not any(secret in engine.log(name) for secret in secrets), name


def test_each_stops_within_its_grace_period(engine: Engine) -> None:
    ended = engine.down()
    assert {name: status for name, (status, _) in ended.items() if name != "minio"} == {
        "api": 0,
        "worker": 0,
        "webhooks": 0,
        "postgres": 0,
        "valkey": 0,
    }
