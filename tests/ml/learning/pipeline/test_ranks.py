"""All devices are as many as a batch has rows for."""

import pytest
from pydantic import TypeAdapter

from ml.learning.pipeline.ranks import limit_devices
from ml.spec.schema import Spec
from ml.tasks import TASKS
from tests.support.ml import samples

NAMES = [f"cpu:{number}" for number in range(16)]


@pytest.mark.parametrize(
    ("schedule", "count"),
    [
        ({"batch_size": 4}, 4),
        ({"batch_size": 32}, 16),
        ({"batch_size": 12, "accumulate": 4}, 3),
        ({"batch_size": 1}, 1),
    ],
)
def test_all_devices_leave_the_batch_size_of_the_spec(schedule: dict[str, int], count: int) -> None:
    request = {"kind": "finetune", "dataset": "a", "task": "text_classification", "model": "a", "devices": "all"}
    spec = TypeAdapter[Spec](Spec).validate_python({**request, "schedule": schedule})
    folder = samples.path(samples.columns_read_by(TASKS["text_classification"]))

    assert limit_devices(NAMES, spec, folder) == NAMES[:count]
