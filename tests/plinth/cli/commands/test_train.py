"""Next steps that `plinth train` proposes."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.cli.commands.train import epochs_of
from plinth.client.types import Job, Progress


@pytest.mark.parametrize(
    ("progress", "schedule", "epochs"),
    [({"epochs": 120}, {"epochs": 4}, 120), ({}, {"epochs": 4}, 4), ({}, None, 10)],
)
def test_the_proposal_counts_the_epochs_that_ran(
    progress: dict[str, Any], schedule: dict[str, Any] | None, epochs: int
) -> None:
    job = Job(
        id="job_1", kind="finetune", state="succeeded", spec={"schedule": schedule}, progress=Progress(**progress)
    )
    assert epochs_of(job) == epochs
