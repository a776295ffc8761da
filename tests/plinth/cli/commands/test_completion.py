"""Completion of names in the shell."""

import subprocess
import sys

import pytest

from plinth.cli.commands import completion
from tests.plinth.cli.commands.conftest import Run
from tests.support.stack import RunningStack

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("trained")]


def test_jobs_models_datasets_and_the_catalog_are_completed(
    plinth_command: Run, stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_HOME", str(stack.home))
    monkeypatch.delenv("PLINTH_URL", raising=False)
    monkeypatch.delenv("PLINTH_API_KEY", raising=False)
    plinth_command("models", "alias", "tickets@1", "support")
    assert completion.model_references("tick") == ["tickets"]
    assert completion.model_references("tickets@") == ["tickets@support", "tickets@1"]
    assert completion.dataset_references("tick") == ["tickets"]
    assert "tickets@1" in completion.dataset_references("tickets@")
    assert completion.job_ids("la") == ["last"]
    assert all(name.startswith("job_0") for name in completion.job_ids("job_0"))
    assert completion.job_ids("job_0")
    assert completion.catalog_names("lor") == ["lora"]
    plinth_command("models", "unalias", "tickets@support")


def test_without_a_service_nothing_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLINTH_URL", "http://127.0.0.1:9")
    assert completion.job_ids("") == []


def test_the_shell_gets_the_names(plinth_command: Run, stack: RunningStack) -> None:
    environment = {
        **stack.environment(),
        "_PLINTH_COMPLETE": "complete_bash",
        "COMP_WORDS": "plinth predict tick",
        "COMP_CWORD": "2",
    }
    program = "import sys; sys.argv = ['plinth']; from plinth.cli.main import app; app(prog_name='plinth')"
    completed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert "tickets" in completed.stdout.split(), completed.stderr
