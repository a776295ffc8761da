"""`plinth gc` shows what takes space, asks, and deletes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.command import run_command
from tests.support.stack import RunningStack

pytestmark = pytest.mark.process


@pytest.fixture
def run(stack: RunningStack) -> Callable[..., object]:
    return lambda *arguments: run_command(*arguments, environment=stack.environment())


def test_a_dry_run_deletes_nothing_and_a_clean_up_needs_consent(stack: RunningStack, run) -> None:
    export = stack.home / "blobs" / "exports" / "mdl_000000000000700080000000000000ab" / "onnx.zip"
    export.parent.mkdir(parents=True)
    export.write_bytes(b"z" * 2_000)
    shown = run("gc", "exports", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "1 (2.0 kB)" in shown.stdout
    assert "30 days" in shown.stdout
    assert "Nothing was deleted." in shown.stdout
    assert export.exists()
    unasked = run("gc", "exports")
    assert unasked.returncode == 2
    assert "Delete 1 item of 2.0 kB?" in unasked.stderr
    deleted = json.loads(run("gc", "exports", "--yes", "--json").stdout)["deleted"]
    assert deleted == [{"kind": "exports", "count": 1, "bytes": 2_000}]
    assert not export.exists()
    assert "Nothing is to be deleted." in run("gc", "exports").stdout


def test_an_unknown_kind_is_refused_with_the_known_ones(run) -> None:
    result = run("gc", "cakes")
    assert result.returncode == 2
    assert "checkpoints" in result.stderr
