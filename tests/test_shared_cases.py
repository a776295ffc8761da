"""Inputs of public bug reports, each run by its own script against a live service."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.support.repository import SHARED_CASES
from tests.support.stack import RunningStack, clean_environment, plinth_up

pytestmark = pytest.mark.process

#: Modules that the scripts import.
MODULES: Final = ("driving", "models_made")
#: Eighteen imports: a twentieth of the suite. tests/ml/learning/interchange/families/test_gpt.py has the same settings.
LONG: Final = ("rope_theta",)
#: Set by `make cases`.
RUNS_ALL: Final = "PLINTH_ALL_CASES" in os.environ
SCRIPTS: Final = sorted(
    path.stem for path in SHARED_CASES.glob("*.py") if path.stem not in MODULES and (RUNS_ALL or path.stem not in LONG)
)
#: Started before the others, as each runs a chain of jobs.
FIRST: Final = ("rope_theta", "pooling_mode")
#: The scripts are older than version 0.2.0, which renamed these public words.
RENAMED_WORDS: Final = {"least_batches": "min_batches_per_epoch"}
#: The slowest imports eighteen models, each in a process of its own, for a minute and a half on a free machine.
CASE_SECONDS: Final = 900.0
#: Jobs beside each other.
JOB_SLOTS: Final = 2
#: Scripts beside each other: while some wait for their jobs, another one starts or reads a result.
CONCURRENT_CASES: Final = 4


@pytest.fixture(scope="module")
def cases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """The selected scripts, run beside each other on a service of their own.

    They leave many datasets.
    """
    tests = [item for item in request.session.items if item.path == request.path]
    names = [test.callspec.params["name"] for test in tests if isinstance(test, pytest.Function)]
    home = tmp_path_factory.mktemp("home")
    with plinth_up(home, PLINTH_JOB_SLOTS=str(JOB_SLOTS)) as stack, ThreadPoolExecutor(CONCURRENT_CASES) as pool:
        folder = tmp_path_factory.mktemp("cases")
        order = sorted(names, key=lambda name: name not in FIRST)
        yield {name: pool.submit(run_case, name, stack, folder / name) for name in order}


def run_case(name: str, stack: RunningStack, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with today's public words."""
    folder.mkdir()
    text = (SHARED_CASES / f"{name}.py").read_text()
    for before, after in RENAMED_WORDS.items():
        text = text.replace(before, after)
    script = folder / f"{name}.py"
    script.write_text(text)
    environment = clean_environment() | {
        "PLINTH_URL": stack.url,
        "PLINTH_API_KEY": stack.api_key,
        "PYTHONPATH": os.fspath(SHARED_CASES),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, script],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=CASE_SECONDS,
        check=False,
    )


@pytest.mark.timeout(CASE_SECONDS)
@pytest.mark.skipif(not SCRIPTS, reason="the shared cases are not on this machine")
@pytest.mark.parametrize("name", SCRIPTS or ["none"])
def test_the_input_of_a_bug_report_is_read_as_its_author_means_it(
    name: str, cases: dict[str, Future[subprocess.CompletedProcess[str]]]
) -> None:
    run = cases[name].result()
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
