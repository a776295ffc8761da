"""Measured costs of trainings that were not started."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ml.spec.cost import TrainingCost
from store.errors import Conflict
from store.tables import JobKind

if TYPE_CHECKING:
    from app.jobs.resolved_spec import ResolvedSpec

#: Trains a few steps. Run in a process of its own: torch is never imported into this one.
MEASURE_MODULE: Final = "worker.jobs.on_request.measure_cost"
TIMEOUT_SECONDS: Final = 120
MAX_CACHED: Final = 100

#: One measurement at a time: two would slow each other down.
_lock = threading.Lock()
_costs: OrderedDict[str, TrainingCost] = OrderedDict()


def measure_cost(resolved: ResolvedSpec) -> TrainingCost:
    """Return the cost of a training, measured once for a spec.

    Raises `Conflict` if it cannot be measured.
    """
    if resolved.kind not in (JobKind.PRETRAIN, JobKind.FINETUNE):
        raise Conflict(f"only trainings are measured, not jobs of the kind {resolved.kind}; leave measure out")
    if importlib.util.find_spec("torch") is None:
        raise Conflict("a training can be measured only where torch is installed; leave measure out")
    request = json.dumps({"spec": resolved.spec, "dataset_id": resolved.dataset_id}, sort_keys=True)
    key = hashlib.sha256(request.encode()).hexdigest()
    with _lock:
        if key not in _costs:
            _costs[key] = _measure(request)
            if len(_costs) > MAX_CACHED:
                _costs.popitem(last=False)
        return _costs[key].starting(datetime.now(UTC))


def _measure(request: str) -> TrainingCost:
    command = [sys.executable, "-m", MEASURE_MODULE]
    try:
        process = subprocess.run(
            command, input=request, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Conflict(f"a few steps took more than {TIMEOUT_SECONDS} seconds; choose a smaller preset") from None
    if process.returncode:
        lines = (process.stdout.strip() or process.stderr.strip()).splitlines() or ["no reason was given"]
        message = f"the training could not be measured: {lines[-1][:300]}"
        raise Conflict(f"{message}; choose a smaller preset, or start it without an estimate")
    return TrainingCost.model_validate_json(process.stdout)
