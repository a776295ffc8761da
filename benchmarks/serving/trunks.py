"""Twenty fine-tunes of one frozen MiniLM against whole copies: memory and speed.

Their heads differ and have not been trained: neither depends on it. Graphs are in float32.
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.serving.load import Load
from benchmarks.serving.service import Figure, Service

if TYPE_CHECKING:
    from ml.package.package import ModelPackage

MODELS: Final = 20
#: Prime, so that every model is asked everything.
BODIES: Final = 61
ROUNDS: Final = 5
MIB: Final = 1024**2
#: One token each, as most words are.
WORDS: Final = tuple("aeiounrst")


def measure(service: Service) -> Iterable[Figure]:
    """Measure memory with one and with all fine-tunes, then the speed of both kinds."""
    # Twenty whole copies would not fit into the usual budget.
    service.api.environment["PLINTH_PREDICT_MEMORY_BYTES"] = str(16 << 30)
    base = _minilm(service.folder)
    kinds = {"of one trunk": True, "as whole copies": False}
    names = {kind: [f"{'shared' if kinds[kind] else 'whole'}-{number}" for number in range(MODELS)] for kind in kinds}
    for kind, frozen in kinds.items():
        for number, name in enumerate(names[kind]):
            package = fine_tune(base, service.folder / name, seed=number, frozen=frozen)
            service.register(package.directory, name=name)
            shutil.rmtree(service.folder / name)
        service.api.stop()
        service.api.start()
        _request_all(service, names[kind][:1])
        with_one = service.api.rss_bytes()
        _request_all(service, names[kind])
        weight = f"{service.api.rss_bytes() / MIB:,.0f} MB"
        aim = "as with 1" if frozen else ""
        yield Figure(f"process with {MODELS} fine-tunes {kind}", weight, aim, f"with 1: {with_one / MIB:,.0f} MB")
    rounds = [{kind: _request_all(service, names[kind]).per_cpu_second for kind in kinds} for _ in range(ROUNDS)]
    for kind in kinds:
        result = sorted(item[kind] for item in rounds)
        note = f"from {result[0]:,.0f} to {result[-1]:,.0f} in {ROUNDS} rounds"
        yield Figure(f"{MODELS} fine-tunes {kind}", f"{statistics.median(result):,.0f}/CPU-s", note=note)
    shared, whole = kinds
    gain = statistics.median(item[shared] / item[whole] for item in rounds)
    yield Figure("one trunk against whole copies", f"{gain:.2f}x", "1.6x")


def fine_tune(base: ModelPackage, folder: Path, *, seed: int, frozen: bool) -> ModelPackage:
    """Make a fine-tune without training; not `frozen` means with a changed backbone."""
    import torch

    from ml.config import Choice
    from ml.data.rows import Rows
    from ml.learning.export.packaging import pack
    from ml.learning.export.torch_runner import load_network
    from ml.learning.nn.network import build
    from ml.tasks import TASKS

    encoders = base.encoders()
    kind = TASKS["text_classification"]
    task = kind(kind.config_type(), encoders, {"labels": ["negative", "positive"]})
    architectures = {
        slot: Choice(name=architecture.name, config=architecture.config)
        for slot, architecture in base.manifest.architectures.items()
    }
    head = Choice(name=task.head, config=task.head_config())
    torch.manual_seed(seed)
    network = build(architectures, shapes={slot: encoder.shape() for slot, encoder in encoders.items()}, head=head)
    network.backbones.load_state_dict(load_network(base).backbones.state_dict())
    if not frozen:
        with torch.no_grad():
            for parameter in network.backbones.parameters():
                parameter.mul_(1 + 1e-6 * (seed + 1))
    folder.mkdir()
    return pack(
        network.eval(),
        folder / "package",
        architectures=architectures,
        encoders=encoders,
        task=task,
        head=head,
        reader=task,
        rows=Rows({"text": ["a quiet , moving film"], "label": ["positive"]}),
        has_frozen_backbone=frozen,
    )


def _minilm(folder: Path) -> ModelPackage:
    from benchmarks.tasks.tunings import minilm
    from ml.package.package import ModelPackage

    return ModelPackage.open(minilm(folder))


def _request_all(service: Service, names: list[str]) -> Load:
    """Texts of 4 to 32 words, of all models in turn."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS, size=4 + number % 29)) for number in range(BODIES)]
    bodies = [json.dumps({"inputs": [{"text": text}]}).encode() for text in texts]
    paths = [f"/predict/{name}" for name in names]
    for path in paths:
        status, _, body = service.api.request(
            "POST", path, headers={"Content-Type": "application/json"}, body=bodies[0]
        )
        assert status == 200, body
    return service.drive(paths, bodies, "application/json", connections=service.connections)
