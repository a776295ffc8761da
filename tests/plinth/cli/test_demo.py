"""`plinth demo`, and the commands that it prints for repeating it."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plinth.client.home import read_stack
from tests.support.stack import clean_environment

pytestmark = pytest.mark.process


def test_it_runs_all_steps_and_can_be_repeated(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    demo = subprocess.run(
        [sys.executable, "-m", "plinth", "demo", "--home", str(home)],
        capture_output=True,
        text=True,
        timeout=150,
        env={
            **clean_environment(),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "100",
            "PLINTH_DATABASE_URL": "sqlite:////not/mine",
        },
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    accuracy, *_, baseline = next(line for line in demo.stdout.splitlines() if line.startswith("accuracy")).split()[1:]
    assert float(accuracy) > 0.95 > 0.2 > float(baseline)
    assert "Confusion matrix of 360 rows" in demo.stdout
    assert read_stack(home) == {}, "it ends its processes"

    up, curl = (line.strip() for line in demo.stdout.splitlines() if " up --home " in line or "curl -H" in line)
    if shutil.which("curl") is None:
        pytest.skip("no curl here to paste the line into")
    with subprocess.Popen(shlex.split(up), stdout=subprocess.DEVNULL, env=clean_environment()) as service:
        try:
            deadline = time.monotonic() + 60
            while not read_stack(home).get("ready"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            pasted = subprocess.run([*shlex.split(curl), "--silent"], capture_output=True, timeout=20, check=True)
            assert json.loads(pasted.stdout)["outputs"][0]["label"] == "0"
        finally:
            service.send_signal(signal.SIGTERM)
