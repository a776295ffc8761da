"""What the terminal shows of a version: what answers for it, and how that was proved."""

from typing import Any

import pytest

from ml.package.manifest import Graph, Parity, Variant
from plinth.cli import render_model
from plinth.cli.render import console
from plinth.client.types import ModelVersion, build


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by COLUMNS: a console looks there when it is made, and another test may have made this one.
    monkeypatch.setattr(console, "width", 120)


def parity(rows: int, difference: float, changed: int) -> Parity:
    return Parity(rows=rows, max_abs_difference=difference, labels_changed=changed, max_abs_output=3.25)


def variant(name: str, *, after: float, speedup: float, reason: str, file: str | None = None) -> Variant:
    judged = {"metric": "accuracy", "before": 0.8125, "after": after, "speedup": speedup, "reason": reason}
    same = {"parity": parity(512, 0.375, 9), "served": file is not None}
    return Variant.model_validate({"name": name, "file": file, **judged, **same})


def graph(file: str, *tried: Variant, **said: Any) -> Graph:
    first, *others = tried or (None,)
    what = {"file": file, "opset": 18, "inputs": ["text"], "outputs": ["logits"], "parity": parity(256, 2e-6, 0)}
    return Graph.model_validate({**what, "variant": first, "other_variants": others, **said})


def shown(capsys: pytest.CaptureFixture[str], *, graphs: dict[str, Graph], **said: Any) -> list[str]:
    """The lines, each with single spaces."""
    message = {"name": "reviews", "version": 3, "graphs": {name: item.model_dump() for name, item in graphs.items()}}
    render_model.version(build(ModelVersion, {**message, **said}))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_what_it_is_is_told_first(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
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
    assert lines[1:3] == ["2 classes: bad, good", "made by job_1, of the data ds_1, starting from minilm@1"]
    assert lines[-3:] == ["metric value", "test/accuracy 0.82", "test/loss"]


def test_the_file_that_is_served_stands_beside_its_proof_and_what_lost_beside_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    served = variant("int8", after=0.8066, speedup=1.4799, reason="1.48 times the speed", file="model.int8.onnx")
    lost = variant("int8_static", after=0.7422, speedup=2.0214, reason="accuracy goes down")
    lines = shown(capsys, graphs={"model": graph("model.onnx", served, lost)}, engine="onnxruntime")
    assert "Answers by onnxruntime: it has graphs, here beside their network" in lines
    assert "model model.int8.onnx 256 3.25 2e-06 0" in lines
    assert "int8 accuracy 0.8125 0.8066 1.48 x 0.375 9" in lines
    assert "int8_static accuracy 0.8125 0.7422 2.02 x 0.375 9" in lines
    assert lines[-2:] == ["int8 is served: 1.48 times the speed", "int8_static is left out: accuracy goes down"]


def test_graphs_that_were_made_faster_together_have_one_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    graphs = {
        name: graph(f"{name}.onnx", variant("int8", after=0.81, speedup=2, reason="faster", file=f"{name}.int8.onnx"))
        for name in ("encode", "step")
    }
    lines = shown(capsys, graphs=graphs, engine="onnxruntime")
    assert "encode encode.int8.onnx 256 3.25 2e-06 0" in lines
    assert "step step.int8.onnx 256 3.25 2e-06 0" in lines
    assert lines.count("int8 is served: faster") == 1


def test_a_trunk_is_named_before_its_head_and_a_graph_that_came_alone_has_no_proof(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = variant("int8", after=0.81, speedup=2, reason="faster", file="trunk.int8.onnx")
    lines = shown(capsys, graphs={"model": graph("model.onnx", small, trunk="trunk.onnx")}, engine="onnxruntime")
    assert "model trunk.int8.onnx, model.onnx 256 3.25 2e-06 0" in lines
    lines = shown(capsys, graphs={"model": graph("model.onnx", parity=None)}, engine="onnxruntime")
    assert lines[-1] == "model model.onnx came in alone"


def test_torch_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, graphs={}, engine="torch", engine_reason="dynamo: it loops [over rows]")
    assert lines[-1] == "Answers by torch: it has no graph (dynamo: it loops [over rows])"


def test_why_not_to_trust_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "warning: it guesses" in shown(capsys, graphs={}, warnings=["it guesses"])
