"""Check of how the batches of a training are divided into parts of equal size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.spec.schema import Finetune, Pretrain


def check_division(spec: Pretrain | Finetune) -> Iterator[Finding]:
    """Yield that the batch size of the user cannot be divided.

    One that comes from a recipe is lowered instead.
    """
    size, parts, accumulate = spec.schedule.batch_size, spec.parts, spec.schedule.accumulate or 1
    if size is None or size % parts == 0:
        return
    sizes = " or ".join(str(multiple) for multiple in (size - size % parts, size - size % parts + parts) if multiple)
    yield Finding(
        code="conflict",
        message=f"a batch of {size} rows cannot be divided into {parts} equal parts",
        path="devices" if accumulate == 1 else "schedule.accumulate",
        found=str(parts),
        hint=f"Set schedule.batch_size to {sizes}, or leave it out.",
    )
