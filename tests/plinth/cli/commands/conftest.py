"""A trained classifier of messages, made by the commands themselves."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.stack import RunningStack

WORDS = {"bug": ["crash", "freeze"], "billing": ["invoice", "refund"], "account": ["password", "login"]}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def plinth_command(stack: RunningStack) -> Run:
    return lambda *arguments, **options: run_command(*arguments, environment=stack.environment(), **options)


@pytest.fixture(scope="session")
def tickets_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Messages of three groups under names that no reader knows."""
    rng = random.Random(1)
    lines = ["id,message,group"]
    for number in range(120):
        group = rng.choice(list(WORDS))
        lines.append(f"{number},my {rng.choice(WORDS[group])} is {rng.choice(['late', 'odd'])} {number},{group}")
    path = tmp_path_factory.mktemp("tickets") / "tickets.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def trained(plinth_command: Run, tickets_csv: Path) -> subprocess.CompletedProcess[str]:
    """The output of the training of `tickets`."""
    uploaded = plinth_command("upload", str(tickets_csv), "--columns", "text=message,label=group")
    assert uploaded.returncode == 0, uploaded.stderr
    result = plinth_command("train", "tickets", "--architecture", "rnn", "--epochs", "6", "--learning-rate", "0.01")
    assert result.returncode == 0, result.stderr
    return result
