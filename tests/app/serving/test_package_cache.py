"""Packages in an object store: only the files that are served are fetched."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from httpx2 import Response
from safetensors.torch import save_file
from starlette.testclient import TestClient

from app.serving.package_cache import PackageCache
from app.serving.resolver import find_version
from ml.config import Choice
from ml.inference.predictor import Predictor
from ml.learning.nn.network import build
from ml.package.manifest import MANIFEST, Manifest
from ml.package.package import WEIGHTS, ModelPackage
from store import models
from store.blobs import blobs
from store.database import reading
from store.errors import StorageFull
from store.settings import store_settings
from tests.support.factories import GRAPH, TRUNK, png, register, shades
from tests.support.servers import NetworkProxy, S3Server
from tests.support.settings import forget_settings


@pytest.fixture
def bucket(home: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that is the blob storage of this process."""
    name = s3.bucket()
    places = {"PLINTH_BLOB_URL": f"s3://{name}/plinth", "PLINTH_S3_ENDPOINT_URL": s3.url}
    for variable, value in {**places, **S3Server.ACCESS}.items():
        monkeypatch.setenv(variable, value)
    forget_settings()
    return name


def without_graph(folder: Path) -> ModelPackage:
    """Return an untrained classifier without a graph, which torch must run."""
    like = shades(folder / "like")
    head = Choice(name="classifier", config={"classes": 2})
    architectures = {"image": Choice(name="cnn")}
    shapes = {"image": like.encoders()["image"].shape()}
    learned = build(architectures, shapes=shapes, head=head).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in learned.items()}, folder / WEIGHTS)
    return ModelPackage.create(
        folder / "package",
        Manifest(
            task=like.manifest.task, architectures=architectures, head=head, parameters=1, no_graph_reason="it loops"
        ),
        files={WEIGHTS: folder / WEIGHTS},
        encoders=like.encoders(),
        state={"labels": ["dark", "light"]},
    )


@pytest.mark.parametrize(
    ("package_of", "served"),
    [
        (shades, {GRAPH}),
        (lambda folder: shades(folder, in_two=True), {TRUNK, GRAPH}),
        (without_graph, {WEIGHTS}),
    ],
    ids=["a graph", "a trunk and a head", "torch"],
)
def test_only_served_files_are_fetched_and_predict_as_the_whole_package_does(
    bucket: str,
    s3: S3Server,
    new_client: Callable[..., TestClient],
    tmp_path: Path,
    package_of: Callable[[Path], ModelPackage],
    served: set[str],
) -> None:
    package = package_of(tmp_path / "package")
    register(package)
    client = new_client()
    key = f"plinth/models/{client.get('/api/v1/models/shades/versions/1').json()['id']}"
    if WEIGHTS not in served:
        s3.client().delete_object(Bucket=bucket, Key=f"{key}/{WEIGHTS}")
    images = [png(brightness) for brightness in (5, 120, 250)]
    answers = [client.post("/predict/shades", content=image, headers={"Content-Type": "image/png"}) for image in images]
    assert [answer.status_code for answer in answers] == [200] * 3, answers[0].text
    whole = Predictor.load(ModelPackage.open(package.directory))
    assert [answer.json()["outputs"] for answer in answers] == [whole.predict([image]) for image in images]
    (fetched,) = (store_settings().home / "cache" / "models").glob("mdl_*")
    assert {path.relative_to(fetched).as_posix() for path in fetched.rglob("*") if path.is_file()} == {
        *served,
        MANIFEST,
        "encoders/image/encoder.json",
        "task/state.json",
    }


SERVED_FILES = [MANIFEST, GRAPH, "encoders/image/encoder.json", "task/state.json"]


@pytest.fixture
def made(bucket: str, tmp_path: Path) -> tuple[ModelPackage, str]:
    """A registered package, and its prefix in the bucket.

    It differs from any other, as files that are in memory are not fetched.
    """
    package = shades(tmp_path / "made", bias=random.random())
    register(package)
    with reading() as session:
        return package, f"plinth/{models.version(session, 'shades').key}"


def predict(client: TestClient, model: str = "shades") -> Response:
    return client.post(f"/predict/{model}", content=png(5), headers={"Content-Type": "image/png"})


def copies() -> Path:
    return store_settings().home / "cache" / "models"


@pytest.mark.parametrize("name", SERVED_FILES)
def test_a_replaced_file_is_refused(
    bucket: str, s3: S3Server, new_client: Callable[..., TestClient], made: tuple[ModelPackage, str], name: str
) -> None:
    package, key = made
    # A valid object without a checksum of ours: only the package and the row can tell.
    changed = (package.directory / name).read_bytes()[:-1] + b" "
    s3.client().put_object(Bucket=bucket, Key=f"{key}/{name}", Body=changed)
    for answer in (predict(client := new_client()), predict(client)):
        assert answer.status_code == 409, answer.text
        assert answer.json()["code"] == "invalid_package"
        assert name in answer.json()["detail"]
    s3.client().put_object(Bucket=bucket, Key=f"{key}/{name}", Body=(package.directory / name).read_bytes())
    assert predict(client).status_code == 200


@pytest.mark.parametrize("name", SERVED_FILES)
def test_a_missing_file_is_an_error_of_the_package(
    bucket: str, s3: S3Server, new_client: Callable[..., TestClient], made: tuple[ModelPackage, str], name: str
) -> None:
    s3.client().delete_object(Bucket=bucket, Key=f"{made[1]}/{name}")
    answer = predict(new_client())
    assert answer.status_code == 409, answer.text
    assert answer.json()["code"] == "invalid_package"
    assert answer.json()["detail"].startswith(f"{name} is missing.")


@pytest.mark.parametrize("name", SERVED_FILES)
def test_a_damaged_copy_is_fetched_again(
    new_client: Callable[..., TestClient], made: tuple[ModelPackage, str], name: str
) -> None:
    whole = PackageCache(blobs, copies()).open(find_version("shades")).directory
    (whole / name).write_bytes(b"damaged")
    assert predict(new_client()).status_code == 200
    assert (whole / name).read_bytes() == (made[0].directory / name).read_bytes()


def test_copies_of_other_versions_are_deleted_when_the_disk_is_full(
    made: tuple[ModelPackage, str], tmp_path: Path
) -> None:
    packages, first = PackageCache(blobs, copies()), find_version("shades")
    register(shades(tmp_path / "other", bias=random.random()))
    packages.open(first)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, usual[1]))
    try:
        with pytest.raises(StorageFull):
            packages.open(find_version("shades"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert not (copies() / first.id).exists()
    for version in (first, find_version("shades")):
        assert packages.open(version).manifest.labels == ["dark", "light"]


def test_an_unreachable_store_is_reported_as_unavailable(
    bucket: str,
    s3: S3Server,
    new_client: Callable[..., TestClient],
    made: tuple[ModelPackage, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLINTH_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    forget_settings()
    answer = predict(new_client())
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "storage_unavailable"
    assert "Retry-After" in answer.headers
    assert bucket not in answer.text


def test_requests_for_loaded_models_do_not_wait_for_packages_that_are_fetched(
    s3: S3Server,
    new_client: Callable[..., TestClient],
    made: tuple[ModelPackage, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(shades(tmp_path / "other", bias=random.random()), name="far")
    proxy = NetworkProxy(s3.host, s3.port).start()
    monkeypatch.setenv("PLINTH_S3_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    forget_settings()
    try:
        client = new_client(predict_threads=1)
        predict(client)
        proxy.freezes = True
        with ThreadPoolExecutor() as pool:
            far = pool.submit(predict, client, "far")
            deadline = time.monotonic() + 10
            while not proxy.connections and time.monotonic() < deadline:
                time.sleep(0.01)
            several = client.post("/predict/shades", files=[("file", png(5)), ("file", png(250))])
            assert several.status_code == 200
            assert not far.done()
            proxy.freezes = False
            assert far.result(20).status_code == 200
    finally:
        proxy.stop()
