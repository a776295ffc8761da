from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ml.config import Choice
from ml.learning.export import onnx as exporting
from ml.learning.export.onnx import ExportResult, batch_bounds, export, is_within_tolerance, measure_parity
from ml.learning.nn.network import Network, build
from ml.package.manifest import Parity

SHAPE = {"channels": 1, "height": 8, "width": 8}
ROWS = 75


def _network(classes: int = 3) -> Network:
    torch.manual_seed(0)
    head = Choice(name="classifier", config={"classes": classes})
    network = build({"image": Choice(name="cnn", config={})}, shapes={"image": SHAPE}, head=head)
    network.train()(_batch())  # running statistics away from their start
    return network


def _batch() -> dict[str, Tensor]:
    return {"image": torch.rand(ROWS, 1, 8, 8, generator=torch.manual_seed(1))}


def _calls(batch: dict[str, Tensor] | None = None) -> list[dict[str, Tensor]]:
    whole = batch or _batch()
    rows = len(next(iter(whole.values())))
    return [{name: tensor[start:end] for name, tensor in whole.items()} for start, end in batch_bounds(rows)]


def _export(network: Network, folder: Path, batch: dict[str, Tensor] | None = None) -> ExportResult:
    return export(network, {"model": _calls(batch)}, folder, variable_axes={})


def test_the_graph_has_the_outputs_of_the_network_for_batches_of_any_size(tmp_path: Path) -> None:
    network = _network()
    exported = _export(network, tmp_path)
    assert exported.reason is None
    graph = exported.graphs["model"]
    assert (graph.inputs, graph.outputs) == (["image"], ["logits", "embedding"])
    assert (graph.parity.rows, graph.parity.labels_changed) == (ROWS, 0)
    assert graph.parity.max_abs_difference < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for size in (1, 3, ROWS):
        image = _batch()["image"][:size]
        with torch.no_grad():
            expected = network.infer({"image": image})
        logits, embedding = session.run(["logits", "embedding"], {"image": image.numpy()})
        np.testing.assert_allclose(logits, expected["logits"].numpy(), atol=1e-4)
        np.testing.assert_allclose(embedding, expected["embedding"].numpy(), atol=1e-4)


def test_the_newer_exporter_is_used_if_the_older_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("cannot be traced")

    monkeypatch.setattr(exporting, "_write_torchscript", refuse)
    graph = _export(_network(), tmp_path).graphs["model"]
    assert graph.exporter == "dynamo"
    assert is_within_tolerance(graph.parity)


class Fickle(nn.Module):
    """Branches on its values in Python, which a traced graph cannot."""

    def forward(self, image: Tensor) -> Tensor:
        logits = image.flatten(1)[:, :3]
        return logits if logits.sum().item() > 0 else -2 * logits


class FickleNetwork(Network):
    def __init__(self) -> None:
        super().__init__({})
        self.fickle = Fickle()

    def infer(self, batch: Any) -> dict[str, Tensor]:
        return {"logits": self.fickle(batch["image"])}


def test_a_graph_with_different_outputs_is_rejected_with_a_reason(tmp_path: Path) -> None:
    batch = {"image": torch.cat([torch.full((2, 1, 8, 8), 0.5), torch.full((9, 1, 8, 8), -0.5)])}
    result = _export(FickleNetwork(), tmp_path, batch)
    assert result.graphs == {}
    assert result.reason is not None
    assert "torchscript: differs by" in result.reason
    assert "dynamo" in result.reason
    assert not (tmp_path / "model.onnx").exists()


def test_a_batch_size_traced_as_a_constant_is_detected(tmp_path: Path) -> None:
    network = _network()
    fixed = tmp_path / "fixed.onnx"
    graph = exporting._GraphModule(network, ("image",), ("logits", "embedding")).eval()
    with pytest.deprecated_call():
        torch.onnx.export(
            graph,
            (_batch()["image"][:2],),
            str(fixed),
            input_names=["image"],
            output_names=["logits", "embedding"],
            dynamo=False,
        )
    with pytest.raises(Exception, match=r"[Ii]nvalid dimensions|INVALID_ARGUMENT"):
        measure_parity(network.eval(), _calls(), [fixed], outputs=("logits", "embedding"))


def test_other_weights_are_detected(tmp_path: Path) -> None:
    network = _network()
    _export(network, tmp_path)
    with torch.no_grad():
        network.head.linear.weight += 0.01
    parity = measure_parity(network, _calls(), [tmp_path / "model.onnx"], outputs=("logits", "embedding"))
    assert not is_within_tolerance(parity)


@pytest.mark.parametrize(
    ("difference", "changed", "max_output", "is_accepted"),
    [
        (1e-6, 0, 1.0, True),
        (5e-3, 0, 10.0, True),
        (5e-3, 0, 1.0, False),
        (1e-6, 1, 1.0, False),
        (1e-6, None, 1.0, True),
    ],
)
def test_parity_allows_rounding_and_no_changed_label(
    difference: float, changed: int | None, max_output: float, is_accepted: bool
) -> None:
    parity = Parity(rows=10, max_abs_difference=difference, labels_changed=changed, max_abs_output=max_output)
    assert is_within_tolerance(parity) is is_accepted
