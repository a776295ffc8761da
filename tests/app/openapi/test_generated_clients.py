"""Clients that the usual generators make of the document: for Python and for TypeScript."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.client_packages import NPM_OPTIONS, UNREACHABLE, give_up, npm, packages_of, run
from tests.support.factories import register, shades
from tests.support.repository import REPOSITORY

pytestmark = [
    pytest.mark.process,
    pytest.mark.client("openapi-python-client", "openapi-python-client", "predict, jobs, all modules"),
    pytest.mark.client("openapi-typescript", "openapi-typescript", "types, under tsc --strict"),
]

REFERENCE = REPOSITORY / "docs" / "reference"
DOCUMENT = REFERENCE / "openapi.json"
TYPESCRIPT = Path(__file__).with_name("typescript")
PREDICT = """
import sys
from pathlib import Path

from plinth_client import AuthenticatedClient
from plinth_client.api.jobs import list_jobs
from plinth_client.api.predict import predict
from plinth_client.models import JobState, PredictFilesBody, PredictRequest, Problem
from plinth_client.types import File

url, key, sample = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key)
image = Path(sample).read_bytes()
bodies = (
    PredictRequest.from_dict({"inputs": [{"pixels": [[250, 250], [250, 250]]}]}),
    PredictFilesBody(file=[File(payload=image, file_name="seven.png")]),
    File(payload=image),
)
for body in bodies:
    (output,) = predict.sync("shades", client=client, body=body, x_timeout_seconds=30.0).outputs
    print(output["label"])
problem = predict.sync("shade", client=client, body=bodies[0])
assert isinstance(problem, Problem), problem
print(problem.code)
(job,) = list_jobs.sync(client=client, state=[JobState.SUCCEEDED]).data
print(job.kind, job.state)
"""


@pytest.fixture(scope="module")
def python_client(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a program that uses the generated client."""
    folder = tmp_path_factory.mktemp("python")
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PYTHONPATH": str(packages_of("sdk")), "PATH": programs}
    config = ["--config", REFERENCE / "openapi-python-client.yml", "--meta", "none", "--fail-on-warning"]
    generate = ["generate", "--path", DOCUMENT, "--output-path", folder / "plinth_client", *config]
    printed = run([sys.executable, "-m", "openapi_python_client", *generate], into=folder, environment=environment)
    assert printed.strip() == f"Generating {folder / 'plinth_client'}"
    return {**environment, "PYTHONPATH": f"{packages_of('sdk')}{os.pathsep}{folder}"}


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api = ApiProcess(new_home())
    with homes.use_home(api.home):
        register(shades(tmp_path_factory.mktemp("packages") / "shades"), name="shades")
    with api:
        yield api


def test_every_module_of_the_generated_python_client_can_be_imported(
    python_client: dict[str, str], tmp_path: Path
) -> None:
    walk = (
        "import importlib, pkgutil, plinth_client;"
        "names = [module.name for module in pkgutil.walk_packages(plinth_client.__path__, 'plinth_client.')];"
        "[importlib.import_module(name) for name in names]; print(len(names))"
    )
    printed = run([sys.executable, "-W", "error", "-c", walk], into=tmp_path, environment=python_client)
    operations = [operation for path in json.loads(DOCUMENT.read_text())["paths"].values() for operation in path]
    assert int(printed) > len(operations)


def test_the_generated_python_client_predicts(python_client: dict[str, str], api: ApiProcess, tmp_path: Path) -> None:
    sample = REPOSITORY / "app" / "openapi" / "samples" / "seven.png"
    arguments = [f"http://127.0.0.1:{api.port}", api.key, sample]
    printed = run([sys.executable, "-c", PREDICT, *arguments], into=tmp_path, environment=python_client)
    assert printed.split() == ["light", "dark", "dark", "not_found", "finetune", "succeeded"]


def test_a_program_over_the_generated_typescript_types_passes_the_strict_compiler(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "typescript"
    shutil.copytree(TYPESCRIPT, folder)
    try:
        npm("install", *NPM_OPTIONS, into=folder)
    except AssertionError as error:
        if UNREACHABLE.search(str(error)):
            give_up("the npm registry cannot be reached: the TypeScript types of the API are not checked here")
        raise
    npm("run", "--silent", "generate", "--", DOCUMENT, "--output", "api.d.ts", into=folder)
    assert not npm("run", "--silent", "check", into=folder)
    misused = (folder / "usage.ts").read_text().replace('"cancelled"]', '"canceled"]')
    (folder / "usage.ts").write_text(misused)
    with pytest.raises(AssertionError, match="canceled"):
        npm("run", "--silent", "check", into=folder)
