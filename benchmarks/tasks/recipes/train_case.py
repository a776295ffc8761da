"""Imports files and trains on them; runs as a script.

PYTHONPATH names the build whose `ml` is used. Each line of standard input is a request as JSON, and is answered by a
line of JSON: metrics, intervals, course and CPU seconds, or `error`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from ml.data.importing.importer import import_dataset
from ml.errors import MLError
from ml.learning.pipeline.train import train
from ml.spec.schema import Spec
from ml.tasks import TASKS


def main() -> None:
    """Answer each request."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        began = time.process_time()
        try:
            answer = run(json.loads(line))
        except (MLError, ValueError) as error:
            answer = {"error": str(error)}
        print(json.dumps({**answer, "cpu_seconds": time.process_time() - began}), flush=True)


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Import and train; raises `ValueError` if the data is rejected."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [Path(path) for path in request["files"]]
        imported = import_dataset(
            sources, folder / "dataset", task=request["task"], tasks=dict(TASKS), **request["options"]
        )
        if imported.state != "ready":
            raise ValueError(f"the data was rejected: {imported.errors}")
        setting = dict(request["setting"])
        task = {"name": request["task"], "config": setting.pop("task", {})}
        spec = TypeAdapter[Spec](Spec).validate_python(
            {"kind": "finetune", "dataset": "case", "model": "case", "task": task, "seed": request["seed"], **setting}
        )
        (folder / "run").mkdir()
        result = train(spec, folder / "dataset", folder / "run", device="cpu", threads=1)
    report: Any = result.report
    return {
        "metrics": report["metrics"],
        "intervals": report.get("intervals", {}),
        "simple": report["reference"]["metrics"] if "reference" in report else report["baseline"],
        "rows": report["rows"],
        "training": report["training"],
    }


if __name__ == "__main__":
    main()
