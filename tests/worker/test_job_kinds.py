"""Every kind of job has a program, and every program can be started."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from ml.spec.schema import Spec
from store.tables import JobKind
from worker.job_kinds import PROGRAMS


def test_every_kind_of_job_has_a_program() -> None:
    assert set(PROGRAMS) == set(JobKind)


@pytest.mark.parametrize("module", sorted({program.module for program in PROGRAMS.values()}))
def test_every_program_can_be_imported_and_run(module: str) -> None:
    import_module(module)
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    assert 'if __name__ == "__main__":' in Path(spec.origin).read_text()


def test_every_kind_of_spec_is_a_kind_of_job() -> None:
    mapping = TypeAdapter(Spec).json_schema()["discriminator"]["mapping"]
    assert set(mapping) == {JobKind.PRETRAIN, JobKind.FINETUNE}
