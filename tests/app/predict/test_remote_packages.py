"""Models whose packages are in an object store: of each, what answers is fetched, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file
from starlette.testclient import TestClient

from ml.learning.network import build
from ml.package import MANIFEST, WEIGHTS, Manifest, ModelPackage
from ml.predictor import Predictor
from ml.spec import Choice
from store.settings import store_settings
from tests.app.factories import GRAPH, TRUNK, png, registered, shades
from tests.servers import S3Server
from tests.store.conftest import forget_settings


@pytest.fixture
def bucket(home: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """In which this process's settings keep blobs."""
    name = s3.bucket()
    places = {"PLINTH_BLOB_URL": f"s3://{name}/plinth", "PLINTH_S3_ENDPOINT_URL": s3.url}
    for variable, value in {**places, **S3Server.ACCESS}.items():
        monkeypatch.setenv(variable, value)
    forget_settings()
    return name


def without_graph(folder: Path) -> ModelPackage:
    """A classifier that has learned nothing, and that torch has to run."""
    like = shades(folder / "like")
    head = Choice(name="classifier", config={"classes": 2})
    architectures = {"image": Choice(name="cnn")}
    shapes = {"image": like.encoders()["image"].shape()}
    learned = build(architectures, shapes=shapes, head=head).state_dict()
    save_file({name: each.contiguous() for name, each in learned.items()}, folder / WEIGHTS)
    return ModelPackage.create(
        folder / "package",
        Manifest(task=like.manifest.task, architectures=architectures, head=head, parameters=1, no_graph="it loops"),
        files={WEIGHTS: folder / WEIGHTS},
        encoders=like.encoders(),
        state={"labels": ["dark", "light"]},
    )


@pytest.mark.parametrize(
    ("made", "answering"),
    [
        (shades, {GRAPH}),
        (lambda folder: shades(folder, in_two=True), {TRUNK, GRAPH}),
        (without_graph, {WEIGHTS}),
    ],
    ids=["a graph", "a trunk and a head", "torch"],
)
def test_only_what_answers_is_fetched_and_it_answers_as_the_whole_package_does(
    bucket: str,
    s3: S3Server,
    new_client: Callable[..., TestClient],
    tmp_path: Path,
    made: Callable[[Path], ModelPackage],
    answering: set[str],
) -> None:
    package = made(tmp_path / "made")
    registered(package)
    client = new_client()
    key = f"plinth/models/{client.get('/api/v1/models/shades/versions/1').json()['id']}"
    if WEIGHTS not in answering:
        s3.client().delete_object(Bucket=bucket, Key=f"{key}/{WEIGHTS}")
    pictures = [png(brightness) for brightness in (5, 120, 250)]
    answers = [
        client.post("/predict/shades", content=picture, headers={"Content-Type": "image/png"}) for picture in pictures
    ]
    assert [answer.status_code for answer in answers] == [200] * 3, answers[0].text
    whole = Predictor.load(ModelPackage.open(package.directory))
    assert [answer.json()["outputs"] for answer in answers] == [whole.predict([picture]) for picture in pictures]
    (fetched,) = (store_settings().home / "cache" / "models").glob("mdl_*")
    assert {path.relative_to(fetched).as_posix() for path in fetched.rglob("*") if path.is_file()} == {
        *answering,
        MANIFEST,
        "encoders/image/encoder.json",
        "task/state.json",
    }


@pytest.mark.parametrize("name", [MANIFEST, GRAPH, "encoders/image/encoder.json", "task/state.json"])
def test_another_file_in_the_place_of_one_that_answers_is_refused(
    bucket: str, s3: S3Server, new_client: Callable[..., TestClient], tmp_path: Path, name: str
) -> None:
    # Unlike any other: what a model in memory has already is not looked at again.
    package = shades(tmp_path / "made", bias=random.random())
    registered(package)
    client = new_client()
    key = f"plinth/models/{client.get('/api/v1/models/shades/versions/1').json()['id']}/{name}"
    # Whole as an object, without a checksum of ours: only package and row can tell.
    s3.client().put_object(Bucket=bucket, Key=key, Body=(package.directory / name).read_bytes()[:-1] + b" ")
    answer = client.post("/predict/shades", content=png(5), headers={"Content-Type": "image/png"})
    assert answer.status_code == 409, answer.text
    assert answer.json()["code"] == "invalid_package"
    assert name in answer.json()["detail"]
