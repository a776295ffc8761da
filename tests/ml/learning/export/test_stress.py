"""A graph that equals its network on recorded calls alone is not exported."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ml.learning.export.onnx import ExportResult, export
from ml.learning.export.stress import _difference, make_stress_calls
from ml.learning.nn.network import Network

CALL = {
    "text": torch.tensor([[3, 4, 5], [6, 7, 0]]),
    "text_mask": torch.tensor([[True, True, True], [True, True, False]]),
}
VARIABLE = frozenset({"text", "text_mask"})


class _Backbone(nn.Module):
    """Sums an embedding over the real positions."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 3)

    def total(self, text: Tensor, mask: Tensor) -> Tensor:
        return (self.table(text) * mask.unsqueeze(2)).sum(dim=1)


class _Text(Network):
    """Reads one text; subclasses err on inputs that the calls do not have."""

    def __init__(self) -> None:
        super().__init__({})
        self.backbone = _Backbone()
        self.widths = {"text": type("Widths", (), {"shape": {"vocabulary": 8, "length": 12}})()}  # type: ignore[dict-item]

    def infer(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]
        return {"embedding": self.read(self.backbone.total(batch["text"], batch["text_mask"]), batch["text_mask"])}

    def read(self, total: Tensor, mask: Tensor) -> Tensor:
        return total


class _BranchesOnLength(_Text):
    def read(self, total: Tensor, mask: Tensor) -> Tensor:
        return total if mask.shape[1] < 10 else -total


class _LogOfSigmoid(_Text):
    def read(self, total: Tensor, mask: Tensor) -> Tensor:
        return nn.functional.logsigmoid(100 * total)


def _export(network: Network, folder: Path) -> ExportResult:
    torch.manual_seed(0)
    return export(network.eval(), {"model": [CALL, CALL]}, folder, variable_axes={"text": (1,), "text_mask": (1,)})


def test_a_graph_of_a_sum_holds_on_all_calls(tmp_path: Path) -> None:
    exported = _export(_Text(), tmp_path)
    assert exported.reason is None
    assert exported.graphs["model"].parity.rows == 4


def test_a_graph_that_fits_the_recorded_lengths_alone_is_refused(tmp_path: Path) -> None:
    exported = _export(_BranchesOnLength(), tmp_path)
    assert not exported.graphs
    assert exported.reason is not None
    assert "on a call of the longest sequence" in exported.reason


def test_the_calls_have_other_lengths_and_rows_of_padding() -> None:
    calls = make_stress_calls([CALL], lengths={"text": 12}, variable=VARIABLE)
    assert list(calls) == ["one token", "padding alone", "one step", "the longest sequence"]
    assert calls["padding alone"]["text_mask"].any(dim=1).tolist() == [True, False]
    assert calls["one step"]["text"].shape == (2, 1)
    assert calls["the longest sequence"]["text"].shape == (2, 12)
    assert calls["the longest sequence"]["text_mask"].sum(dim=1).tolist() == [12, 6]
    assert calls["one token"]["text"].unique().tolist() == [7]


def test_real_numbers_are_scaled_and_set_to_zero() -> None:
    calls = make_stress_calls([{"image": torch.ones(3, 1, 2, 2)}], lengths={"image": None}, variable=frozenset())
    assert {name: call["image"].max().item() for name, call in calls.items()} == {"large values": 10.0, "zeros": 0.0}
    assert all(len(call["image"]) == 2 for call in calls.values())


def test_a_graph_of_a_loop_has_none() -> None:
    step = {**CALL, "text_state": torch.zeros(2, 1, 4), "text_state_mask": torch.ones(2, 1, dtype=torch.bool)}
    assert make_stress_calls([step], lengths={"text": 12}, variable=VARIABLE) == {}


@pytest.mark.parametrize(
    ("values", "expected", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 200.0], [1.0, 100.0], 1.0),
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([1.0, 0.0], [1.0, np.nan], np.inf),
        ([1.0, np.nan], [1.0, 0.0], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
    ],
)
def test_a_value_that_is_not_finite_must_be_so_in_both(
    values: list[float], expected: list[float], difference: float
) -> None:
    assert _difference(np.array(values), np.array(expected)) == difference


def test_a_graph_that_is_not_finite_where_its_network_is_is_refused(tmp_path: Path) -> None:
    exported = _export(_LogOfSigmoid(), tmp_path)
    assert not exported.graphs
    assert exported.reason is not None
    assert "embedding is not finite where that of the network is" in exported.reason
