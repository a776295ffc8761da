"""A model is downloaded from a hub over HTTP.

Every error names its cause and the next step.
"""

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
from worker.jobs.interchange.hub_download import download_from_hub

DOWNLOAD = """
import json, sys
from pathlib import Path
from pydantic import SecretStr
from ml.errors import PackageError
from worker.jobs.interchange.hub_download import download_from_hub

results = []
for number, (name, token) in enumerate(json.loads(sys.argv[1])):
    folder = Path(sys.argv[2]) / str(number)
    folder.mkdir()
    try:
        results.append({"archive": str(download_from_hub(name, folder, token=SecretStr(token)))})
    except PackageError as error:
        results.append({"message": error.message, "hint": error.hint})
print(json.dumps(results))
"""


def download(address: str, folder: Path, *requests: tuple[str, str]) -> list[dict[str, Any]]:
    """Download models in a new process, as the client reads the hub's address on import."""
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
    command = [sys.executable, "-c", DOWNLOAD, json.dumps(requests), str(into)]
    run = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    results: list[dict[str, Any]] = json.loads(run.stdout)
    return results


@dataclass(frozen=True)
class Downloads:
    """The result for every model of the hub, all downloaded by one process."""

    hub: Hub
    by_name: dict[str, dict[str, Any]]

    def archive(self, name: str) -> Path:
        assert "archive" in self.by_name[name], self.by_name[name]
        return Path(self.by_name[name]["archive"])

    def error(self, name: str) -> tuple[str, str]:
        return self.by_name[name]["message"], self.by_name[name]["hint"]


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Downloads]:
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
        requests = [*((f"owner/{name}", TOKEN) for name in names), ("owner/good", "hf_wrong")]
        results = download(hub.address, tmp_path_factory.mktemp("worker"), *requests)
        yield Downloads(hub, dict(zip([*names, "wrong token"], results, strict=True)))


def test_a_model_is_downloaded_completely_and_can_be_imported(downloads: Downloads, tmp_path: Path) -> None:
    archive = downloads.archive("good")
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == ["config.json", "model.safetensors"], "no code, and no other files"
    assert downloads.hub.downloads["good/modeling.py"] == 0, "not even requested"
    assert import_model(archive, tmp_path / "package")["labels"] == ["no", "yes"]


def test_an_interrupted_download_is_resumed(downloads: Downloads) -> None:
    assert downloads.hub.downloads[f"{BREAKS_ONCE}/model.safetensors"] == 2
    with zipfile.ZipFile(downloads.archive(BREAKS_ONCE)) as packed, zipfile.ZipFile(downloads.archive("good")) as good:
        assert packed.read("model.safetensors") == good.read("model.safetensors")


def test_a_download_that_always_breaks_is_an_error(downloads: Downloads) -> None:
    message, hint = downloads.error(BREAKS_ALWAYS)
    assert "owner/breaks-always cannot be downloaded" in message
    assert "hf download owner/breaks-always" in hint


def test_a_wrong_token_and_a_missing_model_are_different_errors(downloads: Downloads) -> None:
    message, hint = downloads.error("wrong token")
    assert "rejects the worker's token" in message
    assert "PLINTH_HUB_TOKEN" in hint
    assert "hf_wrong" not in message + hint
    message, hint = downloads.error("missing")
    assert message.startswith("the hub has no model owner/missing")
    assert "spelling" in hint


def test_terms_that_are_not_accepted_are_an_error(downloads: Downloads) -> None:
    message, hint = downloads.error(GATED)
    assert "owner/gated" in message
    assert f"{downloads.hub.address}/owner/gated" in hint


def test_a_model_with_pickles_alone_is_rejected_before_any_download(downloads: Downloads) -> None:
    message, hint = downloads.error("pickled")
    assert "only as pickles" in message
    assert "pytorch_model.bin" in message
    assert "save_pretrained" in hint
    assert downloads.hub.downloads["pickled/config.json"] == downloads.hub.downloads["pickled/pytorch_model.bin"] == 0
    assert downloads.archive("both"), "safetensors are downloaded, the pickle beside them is not"
    assert downloads.hub.downloads["both/pytorch_model.bin"] == 0


def test_a_model_without_weights_is_rejected(downloads: Downloads) -> None:
    message, _ = downloads.error("empty")
    assert message == "owner/empty has no weights: no *.safetensors among README.md"


def test_a_model_too_large_for_the_disk_is_rejected_before_the_download(downloads: Downloads) -> None:
    message, _ = downloads.error(CLAIMS_TOO_MUCH)
    assert "disk" in message
    assert downloads.hub.downloads[f"{CLAIMS_TOO_MUCH}/model.safetensors"] == 0


def test_without_a_token_nothing_is_requested(tmp_path: Path) -> None:
    with pytest.raises(PackageError) as caught:
        download_from_hub("owner/name", tmp_path, token=None)
    assert "PLINTH_HUB_TOKEN" in (caught.value.hint or "")


def test_an_unreachable_hub_is_an_error_with_an_alternative(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        [result] = download(f"http://127.0.0.1:{closed.getsockname()[1]}", tmp_path, ("owner/name", "hf_x"))
    assert "owner/name cannot be downloaded" in result["message"]
    assert "hf download owner/name" in result["hint"]
