"""Lines of progress where there is no terminal."""

from plinth.cli.render_progress import ProgressLines
from plinth.client.types import Event


def lines_of(*events: tuple[str, dict]) -> list[str]:
    lines = ProgressLines()
    texts = [lines.add(Event(id=number, kind=kind, data=data)) for number, (kind, data) in enumerate(events)]
    return [text for text in texts if text]


def test_each_epoch_has_its_own_metrics_though_several_arrive_together() -> None:
    assert lines_of(
        ("metric", {"step": 1, "train/loss": 3.0, "train/learning_rate": 0.1}),
        ("metric", {"step": 8, "train/loss": 2.0, "validation/loss": 2.5}),
        ("metric", {"step": 16, "train/loss": 1.0, "validation/loss": 1.5}),
        ("log", {"message": "epoch 1 of 2"}),
        ("log", {"message": "epoch 2 of 2"}),
    ) == ["epoch 1/2   validation/loss 2.5   train/loss 2", "epoch 2/2   validation/loss 1.5   train/loss 1"]


def test_phases_messages_and_the_time_left_are_printed_once() -> None:
    assert lines_of(
        ("state", {"state": "running"}),
        ("progress", {"phase": "preparing"}),
        ("progress", {"phase": "preparing"}),
        ("log", {"message": "9 rows are few"}),
        ("progress", {"phase": "training", "eta_seconds": 90.0}),
        ("log", {"message": "epoch 1 of 2"}),
        ("progress", {"phase": "evaluating"}),
        ("checkpoint", {"step": 8}),
    ) == ["preparing", "9 rows are few", "epoch 1/2   90 s left", "evaluating"]


def test_an_epoch_after_epochs_without_a_message_has_its_own_metrics() -> None:
    # A round of few rows is several epochs, and only its last one is validated and printed.
    assert lines_of(
        ("metric", {"step": 8, "train/loss": 3.0}),
        ("metric", {"step": 16, "train/loss": 2.0}),
        ("metric", {"step": 24, "train/loss": 1.0, "validation/loss": 1.5}),
        ("log", {"message": "epoch 3 of 3", "step": 24}),
    ) == ["epoch 3/3   validation/loss 1.5   train/loss 1"]
