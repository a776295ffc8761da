"""Content of a service after some use: datasets, jobs, models."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save_file

from ml.config import Choice
from ml.encoders import ENCODERS
from ml.encoders.base import Encoder
from ml.inference.onnx_weights import align_weights
from ml.package.checksums import digest
from ml.package.manifest import MANIFEST, Graph, Manifest, Parity
from ml.package.package import WEIGHTS, ModelPackage
from store import jobs
from store.blobs import blobs
from store.database import transaction
from store.ids import new_id
from store.jobs import Claim
from store.models import NewModel

SIDE = 8

GRAPH = "model.onnx"
TRUNK = "trunk.onnx"


def png(brightness: int, *, side: int = SIDE) -> bytes:
    """Make a gray image of one brightness."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), brightness).save(buffer, "PNG")
    return buffer.getvalue()


def queue_job(*, kind: str = "finetune", model: str = "shades", dataset_id: str | None = None) -> str:
    """Submit a job; returns its id."""
    with transaction() as session:
        spec = {"kind": kind, "dataset": "shades@1", "model": model}
        return jobs.submit(session, kind=kind, spec=spec, dataset_id=dataset_id, model_name=model).id


def claim_job(job_id: str) -> Claim:
    """Claim a job, as a worker that starts it."""
    with transaction() as session:
        claim = jobs.claim(session, job_id, worker="tester")
    assert claim is not None
    return claim


def report_steps(claim: Claim, *, steps: int) -> None:
    """Run that reports a metric for each step, and some messages."""
    for step in range(1, steps + 1):
        with transaction() as session:
            jobs.report(
                session,
                claim,
                progress={"epoch": 1, "epochs": 1, "step": step, "steps": steps, "percent": 100 * step / steps},
                metrics={"train/loss": 1 / step},
                step=step,
                events=[("log", {"message": f"step {step}", "level": "info"})],
            )


def shades(folder: Path, *, bias: float = 0.0, ballast_bytes: int = 0, in_two: bool = False) -> ModelPackage:
    """Classifier of dark and light images, correct by construction.

    `ballast_bytes` more are multiplied by and add nothing. Those `in_two` files have their trunk in common.
    """
    width = int((ballast_bytes / 4) ** 0.5)
    means = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["point" if width else "embedding"]),
    ]
    constants = [helper.make_tensor("one", TensorProto.INT64, [1], [1])]
    if width:
        means += [
            helper.make_node("Expand", ["point", "width"], ["wide"]),
            helper.make_node("MatMul", ["wide", "ballast"], ["carried"]),
            helper.make_node("ReduceSum", ["carried", "one"], ["nothing"], keepdims=1),
            helper.make_node("Add", ["point", "nothing"], ["embedding"]),
        ]
        constants.append(helper.make_tensor("width", TensorProto.INT64, [2], [1, width]))
        constants.append(numpy_helper.from_array(np.zeros((width, width), dtype=np.float32), "ballast"))
    scores = [helper.make_node("Gemm", ["embedding", "weight", "bias"], ["logits"])]
    weights = [
        helper.make_tensor("weight", TensorProto.FLOAT, [1, 2], [-20.0, 20.0]),
        helper.make_tensor("bias", TensorProto.FLOAT, [2], [10.0 - bias, -10.0 + bias]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 1])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
    if in_two:
        trunk = helper.make_graph(means, "means", [image], [embedding], constants)
        graph = helper.make_graph(scores, "scores", [embedding], [logits], weights)
    else:
        trunk = None
        graph = helper.make_graph([*means, *scores], "shades", [image], [embedding, logits], [*constants, *weights])
    return _create_package(
        folder,
        graph,
        task=Choice(name="image_classification"),
        state={"labels": ["dark", "light"]},
        labels=["dark", "light"],
        trunk=trunk,
    )


def painter(folder: Path) -> ModelPackage:
    """Generator whose images are the sigmoid of their noise."""
    nodes = [
        helper.make_node("Sigmoid", ["noise"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["image"]),
    ]
    shape = [helper.make_tensor("shape", TensorProto.INT64, [4], [-1, 1, SIDE, SIDE])]
    noise = helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["batch", SIDE * SIDE])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])
    return _create_package(
        folder,
        helper.make_graph(nodes, "painter", [noise], [image], shape),
        task=Choice(name="image_generation"),
        state={"labels": [], "latent": SIDE * SIDE},
        labels=None,
    )


def writer(folder: Path, cycle: str = "aé世", *, context: int = 32) -> ModelPackage:
    """Generator that repeats these characters; it reads this number of tokens, which are bytes."""
    encoder = ENCODERS["text"].learn([cycle], {"max_length": context})
    tokens = encoder.tokenize_whole([cycle])[0].tolist()  # type: ignore[attr-defined]  # of the text encoder alone
    size = encoder.shape()["vocabulary"]
    logits = np.zeros((size, size), dtype=np.float32)
    for token, following in zip(tokens, tokens[1:] + tokens[:1], strict=True):
        logits[token, following] = 50
    logits[:, tokens[0]] += 20  # it starts with the first character after any other token
    nodes = [
        helper.make_node("Cast", ["text_mask"], ["counted"], to=TensorProto.INT64),
        helper.make_node("ReduceSum", ["counted", "axis"], ["count"], keepdims=1),
        helper.make_node("Sub", ["count", "axis"], ["last"]),
        helper.make_node("GatherElements", ["text", "last"], ["column"], axis=1),
        helper.make_node("Squeeze", ["column", "axis"], ["token"]),
        helper.make_node("Gather", ["table", "token"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("table", TensorProto.FLOAT, list(logits.shape), logits.ravel()),
    ]
    inputs = [
        helper.make_tensor_value_info("text", TensorProto.INT64, ["batch", "time"]),
        helper.make_tensor_value_info("text_mask", TensorProto.BOOL, ["batch", "time"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", size])]
    return _create_package(
        folder,
        helper.make_graph(nodes, "writer", inputs, outputs, constants),
        task=Choice(name="text_generation"),
        state={"prompted": False, "state_width": 0, "context": context},
        labels=None,
        encoders={"text": encoder},
        name="step",
    )


def change_manifest(package: ModelPackage, **fields: object) -> ModelPackage:
    """Copy a package with another manifest."""
    manifest = package.manifest.model_copy(update=fields)
    (package.directory / MANIFEST).write_text(manifest.model_dump_json())
    return ModelPackage(package.directory, manifest)


def embedder(folder: Path, slot: str, encoder: Encoder[Any]) -> ModelPackage:
    """Base model whose embedding is the mean of its input."""
    nodes = [
        helper.make_node("Cast", [slot], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Flatten", ["mean"], ["embedding"], axis=1),
    ]
    shape: list[str | int]
    if slot in ("text", "history"):
        shape, element_type = ["batch", "time"], TensorProto.INT64
    elif slot == "image":
        shape, element_type = ["batch", *encoder.shape().values()], TensorProto.FLOAT
    else:
        shape, element_type = ["batch", "time", encoder.shape()["bins"]], TensorProto.FLOAT
    value = helper.make_tensor_value_info(slot, element_type, shape)
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", None])
    graph = helper.make_graph(nodes, "embedder", [value], [output])
    return _create_package(folder, graph, task=None, state=None, labels=None, encoders={slot: encoder})


def register(
    package: ModelPackage,
    *,
    name: str = "shades",
    report: Mapping[str, Any] | None = None,
    dataset_id: str | None = None,
    parent_id: str | None = None,
) -> int:
    """Register a package as the next version of `name`, by a job; returns the version."""
    claim = claim_job(queue_job(model=name, dataset_id=dataset_id))
    model_id = new_id("mdl")
    blobs().put_tree(f"models/{model_id}", package.directory)
    manifest = package.manifest
    new = NewModel(
        id=model_id,
        name=name,
        task=manifest.task.name if manifest.task else None,
        architectures={slot: choice.name for slot, choice in manifest.architectures.items()},
        parameters=manifest.parameters,
        bytes=sum(file.bytes for file in manifest.files),
        metrics={"test/accuracy": 1.0},
        labels=manifest.labels,
        formats=["safetensors", "onnx"],
        files=[file.model_dump() for file in manifest.files],
        key=f"models/{model_id}",
        manifest_sha256=digest(package.directory / MANIFEST),
        parent_id=parent_id,
    )
    with transaction() as session:
        model = jobs.succeed(session, claim, model=new, report=report, reason="completed")
        assert model is not None
        return model.version


def _create_package(
    folder: Path,
    graph: onnx.GraphProto,
    *,
    task: Choice | None,
    state: dict[str, Any] | None,
    labels: list[str] | None,
    encoders: Mapping[str, Encoder[Any]] | None = None,
    name: str = "model",
    trunk: onnx.GraphProto | None = None,
) -> ModelPackage:
    folder.mkdir(parents=True)
    files = {GRAPH: graph} if trunk is None else {TRUNK: trunk, GRAPH: graph}
    for file, item in files.items():
        model = helper.make_model(item, opset_imports=[helper.make_opsetid("", 13)], ir_version=10)
        onnx.checker.check_model(model)
        onnx.save(model, folder / file)
        align_weights(folder / file)
    save_file({"weight": np.zeros(4, dtype=np.float32)}, folder / WEIGHTS)
    encoder = ENCODERS["image"]
    size = {"height": SIDE, "width": SIDE, "channels": 1}
    manifest = Manifest(
        task=task,
        architectures={"image": Choice(name="cnn")},
        labels=labels,
        parameters=4,
        graphs={
            name: Graph(
                file=GRAPH,
                trunk=None if trunk is None else TRUNK,
                opset=13,
                inputs=[item.name for item in (trunk or graph).input],
                outputs=[item.name for item in (*graph.output, *(trunk.output if trunk else ()))],
                parity=Parity(rows=1, max_abs_difference=0.0),
            )
        },
    )
    return ModelPackage.create(
        folder / "package",
        manifest,
        files={file: folder / file for file in (*files, WEIGHTS)},
        encoders=encoders or {"image": encoder(encoder.config_type.model_validate(size))},
        state=state,
    )
