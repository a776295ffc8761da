"""Every import contract of pyproject.toml breaks on a planted fault."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

from tests.support.repository import REPOSITORY

_CONTRACTS: Final = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]

_TYPE_ONLY: Final = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {}\n"

#: Contract -> the file of the fault and a line that is added to it. A new file lies on no floor.
_FAULTS: Final = {
    "app and worker use ml and store, all may use plinth, and nothing points upward": (
        "store/errors.py",
        _TYPE_ONLY.format("app.settings"),
    ),
    "packages beside each other form no cycle, at any depth": ("ml/errors.py", _TYPE_ONLY.format("ml.tasks")),
    "benchmarks use tests.support alone": ("benchmarks/upload.py", "import tests.conftest"),
    "migrations use store alone": ("migrations/__main__.py", "import ml"),
    "the server uses of plinth only what needs no client": ("app/settings.py", "import plinth.client"),
    "torch stays in ml.learning, which the rest of ml, app and store never import": ("ml/config.py", "import torch"),
    "the worker loads ml.learning in child processes alone": ("worker/supervisor.py", "import ml.learning.nn"),
    "the supervisor of the worker imports no child process": ("worker/handlers.py", "import worker.jobs.train"),
    "ml knows no database, no HTTP and no queue": ("ml/learning/nn/device.py", "import fastapi"),
    "store knows no HTTP and no torch": ("store/ids.py", "import starlette"),
    "app.serving knows no HTTP": ("app/serving/batcher.py", "import app.http.errors"),
    "floors of app": ("app/unlisted.py", ""),
    "floors of worker": ("worker/unlisted.py", ""),
    "floors of store": ("store/unlisted.py", ""),
    "floors of plinth": ("plinth/unlisted.py", ""),
    "floors of ml": ("ml/unlisted.py", ""),
    "floors of ml.data": ("ml/data/unlisted.py", ""),
    "floors of ml.learning": ("ml/learning/unlisted.py", ""),
    "floors of ml.learning.nn": ("ml/learning/nn/unlisted.py", ""),
    "a format knows no other format": ("ml/data/formats/objects/coco.py", "import ml.data.formats.objects.voc"),
    "a drift test knows no other drift test": ("ml/drift/features.py", _TYPE_ONLY.format("ml.drift.confidence")),
    "a task knows no other task of its kind": (
        "ml/tasks/regression/text_regression.py",
        _TYPE_ONLY.format("ml.tasks.regression.image_regression"),
    ),
    "a task knows no other task": ("ml/tasks/translation.py", _TYPE_ONLY.format("ml.tasks.text_generation")),
    "an encoder knows no other encoder": ("ml/encoders/text.py", "import ml.encoders.items"),
    "an architecture knows no other architecture": (
        "ml/learning/nn/architectures/gpt.py",
        "import ml.learning.nn.architectures.bert",
    ),
    "a fusion knows no other fusion": (
        "ml/learning/nn/fusions/gated_sum.py",
        "import ml.learning.nn.fusions.transformer",
    ),
    "a head knows no other head": ("ml/learning/nn/heads/ctc.py", "import ml.learning.nn.heads.boxes"),
    "an objective knows no other objective": (
        "ml/learning/nn/objectives/denoising.py",
        "import ml.learning.nn.objectives.distillation",
    ),
    "a tuning knows no other tuning": (
        "ml/learning/training/tuning/lora.py",
        "import ml.learning.training.tuning.prompt",
    ),
    "an attack knows no other attack": (
        "ml/learning/training/attacks/fgsm.py",
        "import ml.learning.training.attacks.pgd",
    ),
    "a search strategy knows no other strategy": (
        "ml/search/strategies/tpe.py",
        "import ml.search.strategies.random",
    ),
    "a model family knows no other family": (
        "ml/learning/interchange/families/gpt.py",
        "import ml.learning.interchange.families.bert",
    ),
}


def _broken_contracts(root: Path) -> set[str]:
    """Names of the contracts that `lint-imports` calls broken in the tree below `root`."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True)
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)", done.stdout, re.MULTILINE))
    assert verdicts, done.stdout + done.stderr
    return {name for name, verdict in verdicts.items() if verdict == "BROKEN"}


def test_the_repository_keeps_every_contract() -> None:
    assert _broken_contracts(REPOSITORY) == set()


def test_every_contract_breaks_on_a_planted_fault(tmp_path: Path) -> None:
    for package in _CONTRACTS["root_packages"]:
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=_ignored_names)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for name, line in _FAULTS.values():
        path = tmp_path / name
        path.write_text((path.read_text() if line else "") + f"\n{line}\n")
    assert _broken_contracts(tmp_path) == {contract["name"] for contract in _CONTRACTS["contracts"]}


def _ignored_names(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if not name.endswith(".py") and not (Path(folder) / name).is_dir()}
