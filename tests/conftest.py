"""Fixtures of several packages: a whole service, and small real data."""

import gc
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from plinth import Plinth
from tests.support import built_once
from tests.support.servers import S3Server
from tests.support.stack import RunningStack, plinth_up

FOLDER: Final = Path(__file__).parent

# Ten thousand tests are millions of objects that stay: while they are collected, looking for garbage among them took
# half of the time, in every process of the run.
gc.disable()

# Before a numerical library reads them: its threads wait by spinning, and beside each other these processes have fewer
# cores than threads. An import of 100 texts then takes eight times the processor time.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# How long an example takes says how busy the machine is.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Look for garbage again, except among what has been collected."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that start processes evenly among the others, which compute while those wait.

    Files at the root test the whole service for minutes, so they come first: none of them is left over at the end.
    `--no-loadscope-reorder` lets pytest-xdist keep this order.
    """
    starts_processes: dict[Path, bool] = {}
    for item in items:
        starts_processes[item.path] = starts_processes.get(item.path, False) or "process" in item.keywords
    position: dict[Path, float] = {}
    for group in (True, False):
        files = [path for path in starts_processes if starts_processes[path] is group]
        files.sort(key=lambda path: path.parent != FOLDER)
        position |= {path: (index + 0.5) / len(files) for index, path in enumerate(files)}
    items.sort(key=lambda item: position[item.path])


@pytest.fixture(scope="session", autouse=True)
def _built_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The processes of pytest-xdist have a folder each below that of the run."""
    folder = tmp_path_factory.getbasetemp()
    built_once.share_folder((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "built")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One service for all tests that only use it."""
    with plinth_up(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[Callable[..., RunningStack]]:
    """Services of one test, which may break them."""
    with ExitStack() as running:

        def start(home: Path = tmp_path / "home", **variables: str) -> RunningStack:
            return running.enter_context(plinth_up(home, **variables))

        yield start


@pytest.fixture
def plinth(stack: RunningStack) -> Iterator[Plinth]:
    with stack.client() as client:
        yield client


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """One object store for all tests, which take a bucket each."""
    server = S3Server().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def digits_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 of scikit-learn's handwritten digits as PNG class folders, 60 of them to test with."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    archive = tmp_path_factory.mktemp("digits") / "digits.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for number in range(300):
            png = io.BytesIO()
            Image.fromarray((digits.images[number] * 15.9375).astype("uint8")).save(png, "PNG")
            split = "test" if number % 5 == 0 else "train"
            zipped.writestr(f"{split}/{digits.target[number]}/{number:03}.png", png.getvalue())
    return archive


@pytest.fixture(scope="session")
def digit_files(digits_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three of the test images as files."""
    folder = tmp_path_factory.mktemp("pictures")
    with zipfile.ZipFile(digits_zip) as zipped:
        names = [name for name in zipped.namelist() if name.startswith("test/")][:3]
        return [Path(zipped.extract(name, folder)) for name in names]
