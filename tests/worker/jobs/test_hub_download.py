"""A model is fetched from a hub over HTTP; where it cannot be, its owner is told why, and what to do instead."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml.errors import PackageError
from ml.learning.interchange.importer import import_model
from tests.support.repository import REPOSITORY
from tests.support.worker import hub_server
from tests.support.worker.hub_server import BREAKS_ALWAYS, BREAKS_ONCE, CLAIMS_TOO_MUCH, GATED, TOKEN, Hub
from worker.jobs.hub_download import download_from_hub

ASK = """
import json, sys
from pathlib import Path
from pydantic import SecretStr
from ml.errors import PackageError
from worker.jobs.hub_download import download_from_hub

answers = []
for number, (name, token) in enumerate(json.loads(sys.argv[1])):
    folder = Path(sys.argv[2]) / str(number)
    folder.mkdir()
    try:
        answers.append({"archive": str(download_from_hub(name, folder, token=SecretStr(token)))})
    except PackageError as error:
        answers.append({"message": error.message, "hint": error.hint})
print(json.dumps(answers))
"""


def asked(address: str, folder: Path, *questions: tuple[str, str]) -> list[dict[str, Any]]:
    """What a process answers for which this is the hub: its client reads the address once, when it is imported."""
    into = folder / "fetched"
    into.mkdir(parents=True)
    environment = {
        "PATH": "",
        "PYTHONPATH": str(REPOSITORY),
        "HF_ENDPOINT": address,
        "HF_HOME": str(folder),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-c", ASK, json.dumps(questions), str(into)]
    run = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    answers: list[dict[str, Any]] = json.loads(run.stdout)
    return answers


@dataclass(frozen=True)
class Answered:
    """What came of each model of the hub, all fetched by one process."""

    hub: Hub
    by_name: dict[str, dict[str, Any]]

    def archive(self, name: str) -> Path:
        assert "archive" in self.by_name[name], self.by_name[name]
        return Path(self.by_name[name]["archive"])

    def told(self, name: str) -> tuple[str, str]:
        return self.by_name[name]["message"], self.by_name[name]["hint"]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answered]:
    from transformers import ResNetConfig, ResNetForImageClassification

    root = tmp_path_factory.mktemp("hub")
    good = root / "owner" / "good"
    config = ResNetConfig(
        layer_type="basic", embedding_size=4, hidden_sizes=[4], depths=[1], id2label={0: "no", 1: "yes"}
    )
    ResNetForImageClassification(config).save_pretrained(good)
    (good / "modeling.py").write_text("raise SystemExit('run')")
    (good / "README.md").write_text("# A model")
    for name in (BREAKS_ONCE, BREAKS_ALWAYS, GATED, CLAIMS_TOO_MUCH):
        shutil.copytree(good, root / "owner" / name)
    pickled = root / "owner" / "pickled"
    shutil.copytree(good, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    both = root / "owner" / "both"
    shutil.copytree(good, both)
    (both / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    empty = root / "owner" / "empty"
    empty.mkdir()
    (empty / "README.md").write_text("soon")
    names = [path.name for path in sorted((root / "owner").iterdir())] + ["missing"]
    with hub_server.hub(root) as hub:
        questions = [*((f"owner/{name}", TOKEN) for name in names), ("owner/good", "hf_wrong")]
        answers = asked(hub.address, tmp_path_factory.mktemp("worker"), *questions)
        yield Answered(hub, dict(zip([*names, "wrong token"], answers, strict=True)))


def test_a_model_is_fetched_whole_and_becomes_one_of_ours(answered: Answered, tmp_path: Path) -> None:
    archive = answered.archive("good")
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == ["config.json", "model.safetensors"], "no code, and nothing of no use"
    assert answered.hub.downloads["good/modeling.py"] == 0, "not even asked for"
    assert import_model(archive, tmp_path / "package")["labels"] == ["no", "yes"]


def test_a_file_that_breaks_off_is_gone_on_with(answered: Answered) -> None:
    assert answered.hub.downloads[f"{BREAKS_ONCE}/model.safetensors"] == 2
    with zipfile.ZipFile(answered.archive(BREAKS_ONCE)) as packed, zipfile.ZipFile(answered.archive("good")) as good:
        assert packed.read("model.safetensors") == good.read("model.safetensors")


def test_a_file_that_always_breaks_off_is_given_up_and_told(answered: Answered) -> None:
    message, hint = answered.told(BREAKS_ALWAYS)
    assert "owner/breaks-always cannot be fetched" in message
    assert "hf download owner/breaks-always" in hint


def test_a_wrong_token_is_told_from_a_model_that_is_not_there(answered: Answered) -> None:
    message, hint = answered.told("wrong token")
    assert "does not take this worker's token" in message
    assert "PLINTH_HUB_TOKEN" in hint
    assert "hf_wrong" not in message + hint
    message, hint = answered.told("missing")
    assert message.startswith("the hub has no model owner/missing")
    assert "spelling" in hint


def test_terms_that_are_not_accepted_are_told(answered: Answered) -> None:
    message, hint = answered.told(GATED)
    assert "owner/gated" in message
    assert f"{answered.hub.address}/owner/gated" in hint


def test_pickles_alone_are_refused_before_anything_is_fetched(answered: Answered) -> None:
    message, hint = answered.told("pickled")
    assert "only as pickles" in message
    assert "pytorch_model.bin" in message
    assert "save_pretrained" in hint
    assert answered.hub.downloads["pickled/config.json"] == answered.hub.downloads["pickled/pytorch_model.bin"] == 0
    assert answered.archive("both"), "of both, the pickle is left there"
    assert answered.hub.downloads["both/pytorch_model.bin"] == 0


def test_a_model_without_weights_is_refused(answered: Answered) -> None:
    message, _ = answered.told("empty")
    assert message == "owner/empty has no weights: no *.safetensors among README.md"


def test_more_than_the_disk_takes_is_refused_before_it_is_fetched(answered: Answered) -> None:
    message, _ = answered.told(CLAIMS_TOO_MUCH)
    assert "disk" in message
    assert answered.hub.downloads[f"{CLAIMS_TOO_MUCH}/model.safetensors"] == 0


def test_without_a_token_nothing_is_asked(tmp_path: Path) -> None:
    with pytest.raises(PackageError) as refused:
        download_from_hub("owner/name", tmp_path, token=None)
    assert "PLINTH_HUB_TOKEN" in (refused.value.hint or "")


def test_a_hub_that_is_away_is_told_with_another_way(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        [told] = asked(f"http://127.0.0.1:{taken.getsockname()[1]}", tmp_path, ("owner/name", "hf_x"))
    assert "owner/name cannot be fetched" in told["message"]
    assert "hf download owner/name" in told["hint"]
