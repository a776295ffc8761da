"""Run the code blocks of a page and compare their output with the page."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plinth.client.home import read_stack

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
#: A page takes under a minute on two free cores; the rest is for a machine with other work.
PAGE_SECONDS = 500.0
STOP_SECONDS = 15.0
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e-?\d+)?")
# Reports failure by its exit status, like the target it replaces, and installs nothing: the suite runs in that .venv.
MAKE = """#!/bin/sh
[ "$*" = install ] || { echo "only 'make install' has a stand-in here, not: make $*"; exit 2; }
grep -q '^install:' Makefile && exec .venv/bin/python -c 'import app, ml.learning, plinth, store, worker'
"""


@dataclass(frozen=True)
class Block:
    """A code block to run, and the plain block below it, which shows its output."""

    language: str
    code: str
    output: str = ""


def blocks(page: Path) -> list[Block]:
    """Return the bash and python blocks of a page in order.

    A block without a language is the output of the one before it.
    """
    collected: list[Block] = []
    follows_code = False
    for language, code in FENCE.findall(page.read_text()):
        if language in ("bash", "python"):
            collected.append(Block(language, code))
        elif not language and follows_code:
            collected[-1] = Block(collected[-1].language, collected[-1].code, code)
        follows_code = language in ("bash", "python")
    return collected


def lines_not_in(output: str, expected: str) -> list[str]:
    """Return the lines of `expected` that `output` lacks.

    `...` matches anything, and any number matches any other.
    """
    missing, position = [], 0
    output = _plain(output)
    for line in expected.splitlines():
        pattern = ".*?".join(re.escape(_plain(part).strip()) for part in line.split("..."))
        match = re.compile(pattern, re.DOTALL).search(output, position)
        if match is None:
            missing.append(line)
        else:
            position = match.end()
    return missing


def _plain(text: str) -> str:
    """Replace numbers by `#`, and whitespace and line breaks by one space."""
    return re.sub(r"\s+", " ", NUMBER.sub("#", text))


def run(sequence: Sequence[Block], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Run blocks in one bash and return the output of each; raises on failure."""
    script, files = ["set -e"], [folder / f".output-{number}" for number in range(len(sequence))]
    for block, file in zip(sequence, files, strict=True):
        code = block.code if block.language == "bash" else f"python - <<'PASTED'\n{block.code}PASTED\n"
        script.append(f"exec >{file} 2>&1\n{code}")
    (folder / ".pasted").write_text("\n".join(script))
    bash = subprocess.run(
        ["bash", str(folder / ".pasted")], cwd=folder, env=environment, stdin=subprocess.DEVNULL, timeout=PAGE_SECONDS
    )
    outputs = [file.read_text() for file in files if file.exists()]
    assert bash.returncode == 0, f"{sequence[len(outputs) - 1].code}\nended with {bash.returncode}:\n{outputs[-1]}"
    return outputs


@contextmanager
def clone(folder: Path) -> Iterator[dict[str, str]]:
    """Folder like a fresh clone after `make install`, with its environment.

    It holds the Makefile and the `.venv` that runs the suite. `make` is a program that checks `.venv` and installs
    nothing. The service gets a free port and a home of its own, by the variables that a user would set.
    """
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "make").write_text(MAKE)
    (folder / "bin" / "make").chmod(0o755)
    (folder / "Makefile").symlink_to(REPOSITORY / "Makefile")
    (folder / ".venv").symlink_to(Path(sys.prefix))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    own = {
        "COLUMNS": "160",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PLINTH_HOME": str(folder / "home"),
        "PLINTH_PORT": str(port),
        "PLINTH_URL": f"http://127.0.0.1:{port}",
        "PYTHONPATH": str(REPOSITORY),
    }
    yield {**{name: value for name, value in os.environ.items() if not name.startswith("PLINTH_")}, **own}


@contextmanager
def terminal(block: Block, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Terminal that runs a block until it has printed the expected output, and stays open."""
    output, home = folder / ".service", Path(environment["PLINTH_HOME"])
    with output.open("w") as file:
        bash = subprocess.Popen(
            ["bash", "-ec", block.code], cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not read_stack(home).get("ready") or lines_not_in(output.read_text(), block.output):
            assert bash.poll() is None, f"the block ended:\n{output.read_text()}"
            assert time.monotonic() < deadline, f"not ready, or not as the page shows:\n{output.read_text()}"
            time.sleep(0.05)
        yield
    finally:
        if pid := read_stack(home).get("pid"):
            os.kill(pid, signal.SIGTERM)
        try:
            bash.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            bash.kill()
            bash.wait()
