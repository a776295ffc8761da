"""Twenty fine-tunes of one frozen MiniLM: what they weigh and how fast they answer, against whole copies of it.

Their heads differ and have not been trained: neither depends on it. Graphs are in float32.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.serving.load import Load
from benchmarks.serving.service import Figure, Service

if TYPE_CHECKING:
    from ml.package import ModelPackage

MODELS: Final = 20
BODIES: Final = 61
"""Prime, so that every model is asked everything."""
MIB: Final = 1024**2
WORDS: Final = tuple("aeiounrst")
"""One token each, as most words are."""


def measure(service: Service) -> Iterable[Figure]:
    """One model alone, then all of those that share a trunk, then all of those that do not."""
    # Twenty whole copies would not fit into the usual budget.
    service.api.environment["PLINTH_PREDICT_MEMORY_BYTES"] = str(16 << 30)
    base = _minilm(service.folder)
    found: dict[bool, Load] = {}
    for frozen in (True, False):
        names = [f"{'shared' if frozen else 'whole'}-{number}" for number in range(MODELS)]
        for number, name in enumerate(names):
            package = fine_tune(base, service.folder / name, seed=number, frozen=frozen)
            service.register(package.directory, name=name)
            shutil.rmtree(service.folder / name)
        service.api.stop()
        service.api.start()
        one = _asked(service, names[:1])
        weighs_one = service.api.rss_bytes()
        found[frozen] = _asked(service, names)
        weighs_all = service.api.rss_bytes()
        kind = "of one trunk" if frozen else "as whole copies"
        note = f"{found[frozen].told}; 1 of them {one.per_cpu_second:,.0f}/CPU-s"
        yield Figure(f"{MODELS} fine-tunes {kind}", f"{found[frozen].per_cpu_second:,.0f}/CPU-s", note=note)
        weight = f"{weighs_all / MIB:,.0f} MB"
        yield Figure(
            "their process", weight, aim="as 1" if frozen else "", note=f"1 of them: {weighs_one / MIB:,.0f} MB"
        )
    gain = found[True].per_cpu_second / found[False].per_cpu_second
    yield Figure("one trunk against whole copies", f"{gain:.2f}x", aim="1.6x")


def fine_tune(base: ModelPackage, folder: Path, *, seed: int, frozen: bool) -> ModelPackage:
    """As a run of two steps would leave one, without the steps. Not `frozen`: as if the backbone had moved, too."""
    import torch

    from ml.data.rows import Rows
    from ml.learning.network import build
    from ml.learning.packaging import pack
    from ml.learning.run import network_of
    from ml.spec import Choice
    from ml.tasks import TASKS

    encoders = base.encoders()
    kind = TASKS["text_classification"]
    task = kind(kind.config_type(), encoders, {"labels": ["negative", "positive"]})
    architectures = {
        slot: Choice(name=each.name, config=each.config) for slot, each in base.manifest.architectures.items()
    }
    head = Choice(name=task.head, config=task.head_config())
    torch.manual_seed(seed)
    network = build(architectures, shapes={slot: each.shape() for slot, each in encoders.items()}, head=head)
    network.backbones.load_state_dict(network_of(base).backbones.state_dict())
    if not frozen:
        with torch.no_grad():
            for each in network.backbones.parameters():
                each.mul_(1 + 1e-6 * (seed + 1))
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
        frozen=frozen,
    )


def _minilm(folder: Path) -> ModelPackage:
    from benchmarks.tunings import minilm
    from ml.package import ModelPackage

    return ModelPackage.open(minilm(folder))


def _asked(service: Service, names: list[str]) -> Load:
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
