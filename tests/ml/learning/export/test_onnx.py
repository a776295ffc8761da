from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ml.config import Choice
from ml.learning.export import onnx as exporting
from ml.learning.export.onnx import ExportResult, batch_sizes, export, holds, measure_parity
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
    return [{name: each[start:end] for name, each in whole.items()} for start, end in batch_sizes(rows)]


def _export(network: Network, folder: Path, batch: dict[str, Tensor] | None = None) -> ExportResult:
    return export(network, {"model": _calls(batch)}, folder, variable_axes={})


def test_the_graph_answers_as_the_network_for_batches_of_any_size(tmp_path: Path) -> None:
    network = _network()
    exported = _export(network, tmp_path)
    assert exported.reason is None
    found = exported.graphs["model"]
    assert (found.inputs, found.outputs) == (["image"], ["logits", "embedding"])
    assert (found.parity.rows, found.parity.labels_changed) == (ROWS, 0)
    assert found.parity.max_abs_difference < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for size in (1, 3, ROWS):
        image = _batch()["image"][:size]
        with torch.no_grad():
            expected = network.infer({"image": image})
        logits, embedding = session.run(["logits", "embedding"], {"image": image.numpy()})
        np.testing.assert_allclose(logits, expected["logits"].numpy(), atol=1e-4)
        np.testing.assert_allclose(embedding, expected["embedding"].numpy(), atol=1e-4)


def test_the_newer_exporter_answers_alike_where_the_older_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("cannot be traced")

    monkeypatch.setattr(exporting, "_by_torchscript", refuse)
    found = _export(_network(), tmp_path).graphs["model"]
    assert found.exporter == "dynamo"
    assert holds(found.parity)


class Fickle(nn.Module):
    """Looks at its values in Python, which no graph can."""

    def forward(self, image: Tensor) -> Tensor:
        logits = image.flatten(1)[:, :3]
        return logits if logits.sum().item() > 0 else -2 * logits


class FickleNetwork(Network):
    def __init__(self) -> None:
        super().__init__({})
        self.fickle = Fickle()

    def infer(self, batch: Any) -> dict[str, Tensor]:
        return {"logits": self.fickle(batch["image"])}


def test_a_graph_that_answers_otherwise_is_left_out_with_a_reason(tmp_path: Path) -> None:
    batch = {"image": torch.cat([torch.full((2, 1, 8, 8), 0.5), torch.full((9, 1, 8, 8), -0.5)])}
    found = _export(FickleNetwork(), tmp_path, batch)
    assert found.graphs == {}
    assert found.reason is not None
    assert "torchscript: differs by" in found.reason
    assert "dynamo" in found.reason
    assert not (tmp_path / "model.onnx").exists()


def test_a_batch_size_baked_into_a_graph_shows(tmp_path: Path) -> None:
    network = _network()
    fixed = tmp_path / "fixed.onnx"
    graph = exporting._Graph(network, ("image",), ("logits", "embedding")).eval()
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


def test_other_weights_are_found_out(tmp_path: Path) -> None:
    network = _network()
    _export(network, tmp_path)
    with torch.no_grad():
        network.head.linear.weight += 0.01
    parity = measure_parity(network, _calls(), [tmp_path / "model.onnx"], outputs=("logits", "embedding"))
    assert not holds(parity)


@pytest.mark.parametrize(
    ("difference", "changed", "largest", "sound"),
    [
        (1e-6, 0, 1.0, True),
        (5e-3, 0, 10.0, True),
        (5e-3, 0, 1.0, False),
        (1e-6, 1, 1.0, False),
        (1e-6, None, 1.0, True),
    ],
)
def test_parity_allows_rounding_and_no_other_answer(
    difference: float, changed: int | None, largest: float, sound: bool
) -> None:
    parity = Parity(rows=10, max_abs_difference=difference, labels_changed=changed, max_abs_output=largest)
    assert holds(parity) is sound
