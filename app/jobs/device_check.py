"""Check of the devices of a training against those of the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.errors import Finding
from store import workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from ml.spec.schema import Spec


def check_devices(session: Session, spec: Spec) -> Iterator[Finding]:
    """Yield that no worker has as many devices as a training asks for.

    Without a worker there is nothing to compare with, and the job waits.
    """
    offers = [worker.devices for worker in workers.list_alive(session)]
    counts = [offer for offer in offers if offer is not None]
    if not isinstance(spec.devices, int) or not counts or len(counts) < len(offers) or spec.devices <= max(counts):
        return
    most = max(counts)
    yield Finding(
        code="does_not_fit",
        message=f"no worker has {spec.devices} devices for one training; the most is {most}",
        path="devices",
        expected=f"at most {most}",
        found=str(spec.devices),
        hint=f'Set devices to {most} or "all". On a CPU, a worker offers its cores divided by PLINTH_JOB_SLOTS.',
    )
