"""Where the hub cannot be reached, the job's owner is told what to do instead."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ml.errors import PackageError
from worker.hub import fetched_from_hub


def test_without_a_token_nothing_is_asked(tmp_path: Path) -> None:
    with pytest.raises(PackageError) as refused:
        fetched_from_hub("owner/name", tmp_path, token=None)
    assert "PLINTH_HUB_TOKEN" in (refused.value.hint or "")


def test_a_hub_that_is_away_is_told_with_another_way(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        code = (
            "from pathlib import Path; from pydantic import SecretStr; from ml.errors import PackageError\n"
            "from worker.hub import fetched_from_hub\n"
            "try: fetched_from_hub('owner/name', Path('.'), token=SecretStr('hf_x'))\n"
            "except PackageError as error: print(error.message, '|', error.hint)"
        )
        nobody = {"HF_ENDPOINT": f"http://127.0.0.1:{taken.getsockname()[1]}", "HF_HOME": str(tmp_path)}
        told = subprocess.run(
            [sys.executable, "-c", code],
            env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2]), **nobody},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert "owner/name cannot be fetched" in told
    assert "hf download owner/name" in told
