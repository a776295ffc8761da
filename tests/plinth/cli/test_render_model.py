"""Terminal output of a model version: its engine, metrics and parity."""

from typing import Any

import pytest

from ml.package.manifest import Graph, Parity, Variant
from plinth.cli import render_model
from plinth.cli.render import console
from plinth.client.types import ModelVersion, build


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by COLUMNS: a console reads it when it is created, and another test may have created this one.
    monkeypatch.setattr(console, "width", 120)


def make_parity(rows: int, difference: float, changed: int) -> Parity:
    return Parity(rows=rows, max_abs_difference=difference, labels_changed=changed, max_abs_output=3.25)


def make_variant(name: str, *, after: float, speedup: float, reason: str, file: str | None = None) -> Variant:
    comparison = {"metric": "accuracy", "before": 0.8125, "after": after, "speedup": speedup, "reason": reason}
    outcome = {"parity": make_parity(512, 0.375, 9), "served": file is not None}
    return Variant.model_validate({"name": name, "file": file, **comparison, **outcome})


def make_graph(file: str, *variants: Variant, **fields: Any) -> Graph:
    first, *others = variants or (None,)
    defaults = {
        "file": file,
        "opset": 18,
        "inputs": ["text"],
        "outputs": ["logits"],
        "parity": make_parity(256, 2e-6, 0),
    }
    return Graph.model_validate({**defaults, "variant": first, "other_variants": others, **fields})


def print_lines(capsys: pytest.CaptureFixture[str], *, graphs: dict[str, Graph], **fields: Any) -> list[str]:
    """Print a version; returns the lines of the output, with single spaces."""
    document = {"name": "reviews", "version": 3, "graphs": {name: item.model_dump() for name, item in graphs.items()}}
    render_model.print_version(build(ModelVersion, {**document, **fields}))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_the_description_is_printed_first(capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_lines(
        capsys,
        graphs={},
        task="text_classification",
        architecture={"text": "bert"},
        parameters=22_566_146,
        bytes=204_000_000,
        aliases=["production"],
        labels=["bad", "good"],
        lineage={"job": "job_1", "dataset": {"id": "ds_1"}, "parent": {"name": "minilm", "version": 1}},
        metrics={"test/accuracy": 0.82, "test/loss": None},
    )
    assert lines[0] == "reviews@3 (production): text_classification by bert, 22,566,146 parameters, 204.0 MB"
    assert lines[1:3] == ["2 classes: bad, good", "created by job_1, from dataset ds_1, starting from minilm@1"]
    assert lines[-3:] == ["metric value", "test/accuracy 0.82", "test/loss"]


def test_the_served_file_is_printed_with_its_parity_and_other_variants_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    served = make_variant("int8", after=0.8066, speedup=1.4799, reason="1.48 times the speed", file="model.int8.onnx")
    not_served = make_variant("int8_static", after=0.7422, speedup=2.0214, reason="accuracy decreases")
    lines = print_lines(capsys, graphs={"model": make_graph("model.onnx", served, not_served)}, engine="onnxruntime")
    assert "Runs on onnxruntime: the package has ONNX graphs, compared with their network below" in lines
    assert "model model.int8.onnx 256 3.25 2e-06 0" in lines
    assert "int8 accuracy 0.8125 0.8066 1.48 x 0.375 9" in lines
    assert "int8_static accuracy 0.8125 0.7422 2.02 x 0.375 9" in lines
    assert lines[-2:] == ["int8 is served: 1.48 times the speed", "int8_static is not served: accuracy decreases"]


def test_graphs_that_were_optimized_together_have_one_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    graphs = {
        name: make_graph(
            f"{name}.onnx", make_variant("int8", after=0.81, speedup=2, reason="faster", file=f"{name}.int8.onnx")
        )
        for name in ("encode", "step")
    }
    lines = print_lines(capsys, graphs=graphs, engine="onnxruntime")
    assert "encode encode.int8.onnx 256 3.25 2e-06 0" in lines
    assert "step step.int8.onnx 256 3.25 2e-06 0" in lines
    assert lines.count("int8 is served: faster") == 1


def test_a_trunk_is_listed_before_its_head_and_an_imported_graph_has_no_parity(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = make_variant("int8", after=0.81, speedup=2, reason="faster", file="trunk.int8.onnx")
    lines = print_lines(
        capsys, graphs={"model": make_graph("model.onnx", small, trunk="trunk.onnx")}, engine="onnxruntime"
    )
    assert "model trunk.int8.onnx, model.onnx 256 3.25 2e-06 0" in lines
    lines = print_lines(capsys, graphs={"model": make_graph("model.onnx", parity=None)}, engine="onnxruntime")
    assert lines[-1] == "model model.onnx not compared (imported graph)"


def test_torch_is_printed_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_lines(capsys, graphs={}, engine="torch", engine_reason="dynamo: it loops [over rows]")
    assert lines[-1] == "Runs on torch: the package has no ONNX graph (dynamo: it loops [over rows])"


def test_warnings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "warning: the split is small" in print_lines(capsys, graphs={}, warnings=["the split is small"])
