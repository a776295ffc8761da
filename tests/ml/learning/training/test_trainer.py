import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ml.errors import SpecError, TrainingDiverged, TrainingInterrupted
from ml.learning.training.batches import ShuffledBatches
from ml.learning.training.optimizers import ParameterGroupOptions, learning_rate, make_optimizer
from ml.learning.training.progress import Progress, Stop
from ml.learning.training.trainer import KEPT_GAIN_LOSS, Trainer
from ml.schedule import Schedule
from tests.support.ml import toy_run
from tests.support.ml.toys import CPU, ROWS, AtStep, Toy, columns, schedule, trainer


def _weights(run: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.objective.state_dict().items()}


def _equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_falls_and_every_epoch_is_reported(tmp_path: Path) -> None:
    reports: list[Progress] = []
    result = trainer(tmp_path, on_progress=reports.append, schedule=schedule(epochs=30)).fit()
    losses = [report.metrics["validation/loss"] for report in reports if "validation/loss" in report.metrics]
    assert result.reason == "completed"
    assert len(losses) == 30
    assert losses[-1] < losses[0] / 2
    assert (reports[-1].step, reports[-1].steps, reports[-1].epoch) == (180, 180, 30)


def test_equal_seeds_give_equal_weights(tmp_path: Path) -> None:
    weights = []
    for name in ("first", "second"):
        run = trainer(tmp_path / name)
        run.fit()
        weights.append(_weights(run))
    assert _equal(*weights)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("step", [1, 6, 8, 17])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, kind: str, step: int) -> None:
    plan = schedule(epochs=3, optimizer=kind, momentum=0.9 if kind == "sgd" else None, decay="one_cycle")
    whole = trainer(tmp_path / "whole", schedule=plan)
    whole.fit()
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path / "cut", schedule=plan, should_stop=AtStep(step, Stop.LEAVE)).fit()
    again = trainer(tmp_path / "cut", schedule=plan)
    torch.manual_seed(999)
    result = again.fit()
    assert _equal(_weights(whole), _weights(again))
    assert result.metrics["validation/loss"] == whole.metrics["validation/loss"]


@pytest.mark.parametrize("step", [1, 5, 6, 7, 13])
def test_weights_are_unfrozen_at_their_step_and_resume_with_the_same_bits(tmp_path: Path, step: int) -> None:
    def make_trainer(folder: Path, **changes: Any) -> Trainer:
        torch.manual_seed(0)
        toy = Toy()
        first = dict.fromkeys(toy.layers[0].parameters(), ParameterGroupOptions(rate_factor=0.1, unfreeze_at=0.5))
        norm = dict.fromkeys(toy.layers[1].parameters(), ParameterGroupOptions(unfreeze_at=1 / 3))
        return trainer(folder, objective=toy, group_options={**first, **norm}, schedule=schedule(epochs=2), **changes)

    whole = make_trainer(tmp_path / "whole")
    started = _weights(whole)
    whole.fit()
    with pytest.raises(TrainingInterrupted):
        make_trainer(tmp_path / "cut", should_stop=AtStep(step, Stop.LEAVE)).fit()
    again = make_trainer(tmp_path / "cut")
    again._resume()
    # In twelve steps the first layer is frozen for six, the normalization for four.
    for name, steps in (("layers.0.weight", 6), ("layers.1.weight", 4)):
        assert torch.equal(_weights(again)[name], started[name]) == (again.state.step <= steps)
    again.fit()
    assert _equal(_weights(whole), _weights(again))
    assert not torch.equal(_weights(again)["layers.0.weight"], started["layers.0.weight"])


def test_a_resumed_run_computes_with_the_threads_of_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path, should_stop=AtStep(2, Stop.LEAVE)).fit()
    reports: list[Progress] = []
    torch.set_num_threads(2)
    trainer(tmp_path, on_progress=reports.append).fit()
    assert torch.get_num_threads() == 1
    assert any(report.message and report.message.endswith("threads of the checkpoint: 1") for report in reports)


def test_a_run_interrupted_while_it_validates_resumes_with_the_same_weights(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", schedule=schedule(epochs=2))
    whole.fit()
    # Six steps an epoch, so validation makes the seventh call.
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path / "cut", schedule=schedule(epochs=2), should_stop=AtStep(7, Stop.LEAVE)).fit()
    again = trainer(tmp_path / "cut", schedule=schedule(epochs=2))
    again.fit()
    assert _equal(_weights(whole), _weights(again))


@pytest.mark.process
def test_another_process_after_a_kill_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    """The process dies in the middle of an epoch and leaves only checkpoints."""
    command = [sys.executable, "-m", "tests.support.ml.toy_run", str(tmp_path / "cut"), "10"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert toy_run.whole_run(tmp_path / "cut") == toy_run.whole_run(tmp_path / "whole")


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    def rows(seed: int, epoch: int, start: int = 0) -> list[np.ndarray]:
        source = ShuffledBatches({"x": np.arange(ROWS)}, collate=dict, batch_size=10, seed=seed, device=CPU)
        return [batch["x"].numpy() for batch, _ in source.epoch(epoch, start=start)]

    first = np.concatenate(rows(0, 0))
    assert len(first) == len(set(first)) == 90  # the remaining rows do not fill a batch
    assert np.array_equal(first, np.concatenate(rows(0, 0)))
    assert np.array_equal(first[40:], np.concatenate(rows(0, 0, start=4)))
    assert not np.array_equal(first, np.concatenate(rows(0, 1)))
    assert not np.array_equal(first, np.concatenate(rows(1, 0)))


def test_early_stopping_restores_the_best_epoch(tmp_path: Path) -> None:
    # With a rate this high the loss oscillates, so that the last epoch is not the best.
    plan = schedule(epochs=60, learning_rate=0.3, early_stopping={"patience": 4})
    reports: list[Progress] = []
    run = trainer(tmp_path, schedule=plan, on_progress=reports.append)
    result = run.fit()
    losses = [report.metrics["validation/loss"] for report in reports if "validation/loss" in report.metrics]
    assert result.reason == "early_stopped"
    assert len(losses) < 60
    assert result.best_epoch == losses.index(min(losses)) + 1 == len(losses) - 4
    assert run._validate(run.validation)["validation/loss"] == min(losses)


def test_early_stopping_continues_its_count_after_a_resume(tmp_path: Path) -> None:
    plan = schedule(epochs=60, learning_rate=0.3, early_stopping={"patience": 4})
    whole = trainer(tmp_path / "whole", schedule=plan)
    expected = whole.fit()
    stop = AtStep((expected.epochs - 2) * 9 + 3, Stop.LEAVE)  # six steps and three validation batches an epoch
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path / "cut", schedule=plan, should_stop=stop).fit()
    again = trainer(tmp_path / "cut", schedule=plan)
    result = again.fit()
    assert (result.reason, result.epochs, result.best_epoch) == (expected.reason, expected.epochs, expected.best_epoch)
    assert _equal(_weights(whole), _weights(again))


def test_the_rate_is_halved_each_time_validation_stays_on_a_plateau_for_two_epochs(tmp_path: Path) -> None:
    plan = schedule(epochs=30, learning_rate=0.3, decay="plateau")
    reports: list[Progress] = []
    trainer(tmp_path, schedule=plan, on_progress=reports.append).fit()
    losses = [report.metrics["validation/loss"] for report in reports if "validation/loss" in report.metrics]
    best, waited, expected = float("inf"), 0, 0.3
    rates = []
    for loss in losses:
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited == 2:
            expected, waited = expected / 2, 0
            rates.append(f"validation has not improved for 2 epochs: learning rate {expected:.2g}")
    assert len(rates) > 2
    assert [report.message for report in reports if "not improved" in (report.message or "")] == rates


def test_a_run_on_a_plateau_resumes_with_the_same_weights(tmp_path: Path) -> None:
    plan = schedule(epochs=12, learning_rate=0.3, decay="plateau")
    whole = trainer(tmp_path / "whole", schedule=plan)
    whole.fit()
    assert whole.state.rate_reductions
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path / "cut", schedule=plan, should_stop=AtStep(8 * 9 + 2, Stop.LEAVE)).fit()
    again = trainer(tmp_path / "cut", schedule=plan)
    again.fit()
    assert _equal(_weights(whole), _weights(again))


def test_repeated_epochs_are_evaluated_together_and_resumed_with_the_same_weights(tmp_path: Path) -> None:
    # Six steps an epoch; 50 steps take five times as many epochs as two. Patience counts evaluated epochs.
    plan = schedule(epochs=2, min_steps=50, learning_rate=0.3, early_stopping={"patience": 2})
    reports: list[Progress] = []
    whole = trainer(tmp_path / "whole", schedule=plan, on_progress=reports.append)
    result = whole.fit()
    assert (result.epochs, result.steps, whole.learning_rate(60)) == (10, 60, whole.learning_rate(0))
    assert [report.step for report in reports if "validation/loss" in report.metrics] == [30, 60]
    assert result.best_epoch in (5, 10)
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path / "cut", schedule=plan, should_stop=AtStep(33, Stop.LEAVE)).fit()
    again = trainer(tmp_path / "cut", schedule=plan)
    assert again.fit() == result
    assert _equal(_weights(whole), _weights(again))


def test_training_continues_while_validation_improves_within_the_budget(tmp_path: Path) -> None:
    # Six steps an epoch: rounds of 2, 4 and 8 epochs take 84 steps, and one more would take 180.
    plan = schedule(epochs=2, max_steps=100, learning_rate=0.003)
    reports: list[Progress] = []
    whole = trainer(tmp_path / "whole", schedule=plan, on_progress=reports.append)
    result = whole.fit()
    losses = [report.metrics["validation/loss"] for report in reports if "validation/loss" in report.metrics]
    messages = [report.message for report in reports if report.message and "still improves" in report.message]
    assert (result.reason, result.epochs, result.steps) == ("completed", 14, 84)
    assert messages == [
        "validation still improves after 2 epochs: training continues up to 6 (budget 100 steps)",
        "validation still improves after 6 epochs: training continues up to 14 (budget 100 steps)",
    ]
    last_message = [report.message for report in reports if report.message][-1]
    assert result.is_cut_by_budget == last_message.startswith("the budget of 100 steps ended while validation still")
    assert result.is_cut_by_budget == (losses.index(min(losses)) + 1 > 12)  # in the last quarter of eight epochs
    gain = losses[0] - min(losses)
    is_last_kept = losses[-1] - min(losses) <= KEPT_GAIN_LOSS * gain
    assert result.best_epoch == (None if is_last_kept else losses.index(min(losses)) + 1)
    assert whole.learning_rate(36) == plan.learning_rate  # each round begins at the peak
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path / "cut", schedule=plan, should_stop=AtStep(60, Stop.LEAVE)).fit()
    again = trainer(tmp_path / "cut", schedule=plan)
    assert again.fit() == result
    assert _equal(_weights(whole), _weights(again))


def test_the_best_weights_are_restored_if_the_last_round_lost_what_was_gained(tmp_path: Path) -> None:
    run = trainer(tmp_path, schedule=schedule(epochs=2, max_steps=40, learning_rate=0.003))
    result = run.fit()
    assert (result.epochs, run.state.rounds) == (6, 1)
    for last, is_as_good in ((1.04, True), (1.06, False)):
        run.state.first_value, run.state.best_value, run.state.last_value = 2.0, 1.0, last
        assert run._is_last_as_good() == is_as_good
    run.state.rounds = 0
    assert not run._is_last_as_good()


@pytest.mark.parametrize(
    ("epochs", "changes"),
    [
        (6, {"learning_rate": 0.003}),  # no budget
        (6, {"learning_rate": 0.003, "max_steps": 100}),  # 36 steps, and 72 more
        (40, {"learning_rate": 0.3, "max_steps": 10_000}),  # validation oscillates
    ],
)
def test_training_ends_with_its_epochs_without_budget_or_improvement(
    epochs: int, changes: dict[str, Any], tmp_path: Path
) -> None:
    result = trainer(tmp_path, schedule=schedule(epochs=epochs, **changes)).fit()
    assert (result.reason, result.epochs) == ("completed", epochs)


def test_training_ends_within_an_epoch_at_the_steps_that_a_spec_names(tmp_path: Path) -> None:
    # Six steps an epoch.
    plan = schedule(epochs=4, min_steps=15, max_steps=15, learning_rate=0.003)
    reports: list[Progress] = []
    result = trainer(tmp_path / "whole", schedule=plan, on_progress=reports.append).fit()
    assert (result.reason, result.steps, result.epochs) == ("completed", 15, 3)
    assert (reports[0].epochs, reports[0].steps) == (3, 15)
    assert sum("validation/loss" in report.metrics for report in reports) == 3
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path / "cut", schedule=plan, should_stop=AtStep(14, Stop.LEAVE)).fit()
    assert trainer(tmp_path / "cut", schedule=plan).fit() == result


@pytest.mark.parametrize(("accuracy", "loss", "continues"), [(1.0, 0.0099, False), (1.0, 0.2, True), (0.96, 0.0, True)])
def test_training_does_not_continue_once_validation_is_perfect(
    accuracy: float, loss: float, continues: bool, tmp_path: Path
) -> None:
    run = trainer(tmp_path, schedule=schedule(epochs=2, max_steps=100))
    run.state.best_epoch = 2
    assert run._still_improves()  # other tasks have no accuracy
    run.metrics = {"validation/accuracy": accuracy, "validation/loss": loss}
    assert run._still_improves() == continues


def test_an_unknown_monitor_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    plan = schedule(early_stopping={"monitor": "validation/beauty"})
    with pytest.raises(SpecError, match="validation/loss"):
        trainer(tmp_path, schedule=plan).fit()


def test_finish_ends_now_with_the_best_weights(tmp_path: Path) -> None:
    run = trainer(tmp_path, schedule=schedule(epochs=50, learning_rate=0.3), should_stop=AtStep(100, Stop.FINISH))
    result = run.fit()
    assert result.reason == "stopped"
    assert result.steps < 300
    assert result.best_epoch is not None
    assert run._validate(run.validation)["validation/loss"] == run.state.best_value


def test_a_finished_run_trains_no_further_when_resumed(tmp_path: Path) -> None:
    first = trainer(tmp_path)
    first.fit()
    again = trainer(tmp_path)
    assert again.fit().reason == "completed"
    assert _equal(_weights(first), _weights(again))


class Breaking(Toy):
    """A toy whose loss is not a number from the fifth training batch on."""

    batches = 0

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        self.batches += self.training
        terms = super().forward(batch)
        return {"loss": terms["loss"] * (float("nan") if self.training and self.batches >= 5 else 1)}


def test_a_loss_that_is_not_a_number_ends_the_run_with_reason_and_step(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="nan at step 5 of 36") as caught:
        trainer(tmp_path, objective=Breaking()).fit()
    assert "learning rate" in str(caught.value.hint)


def test_no_checkpoint_is_made_after_a_loss_that_is_not_a_number(tmp_path: Path) -> None:
    reports: list[Progress] = []
    with pytest.raises(TrainingDiverged):
        trainer(tmp_path, objective=Breaking(), should_stop=AtStep(6, Stop.LEAVE), on_progress=reports.append).fit()
    assert not any(report.checkpoint for report in reports)


def test_an_overflowing_learning_rate_diverges(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged):
        trainer(tmp_path, schedule=schedule(optimizer="sgd", learning_rate=100, epochs=50)).fit()


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    plan = schedule(optimizer="sgd", learning_rate=1.0, gradient_clip_norm=1e-3, epochs=1, batch_size=ROWS)
    run = trainer(tmp_path, schedule=plan)
    before = [weight.detach().clone() for weight in run.trainable]
    run.fit()
    change = math.sqrt(
        sum(
            float((after - before).detach().square().sum()) for after, before in zip(run.trainable, before, strict=True)
        )
    )
    assert change == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_every_precision_learns_and_resumes_with_the_same_weights(tmp_path: Path, precision: str) -> None:
    plan = schedule(precision=precision, epochs=4)
    reports: list[Progress] = []
    whole = trainer(tmp_path / "whole", schedule=plan, on_progress=reports.append)
    whole.fit()
    losses = [report.metrics["validation/loss"] for report in reports if "validation/loss" in report.metrics]
    assert losses[-1] < losses[0]
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path / "cut", schedule=plan, should_stop=AtStep(9, Stop.LEAVE)).fit()
    again = trainer(tmp_path / "cut", schedule=plan)
    again.fit()
    assert _equal(_weights(whole), _weights(again))


def test_one_cycle_follows_the_reference() -> None:
    steps = 50
    weight = torch.nn.Parameter(torch.zeros(1))
    reference_optimizer = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(reference_optimizer, 0.3, total_steps=steps, cycle_momentum=False)
    rate = learning_rate(Schedule(learning_rate=0.3, decay="one_cycle"), steps=steps)
    for step in range(steps):
        assert rate(step) == pytest.approx(reference.get_last_lr()[0], rel=1e-9)
        reference_optimizer.step()
        if step < steps - 1:
            reference.step()


def test_cosine_falls_from_the_peak_to_nothing() -> None:
    rate = learning_rate(Schedule(learning_rate=2.0, decay="cosine"), steps=100)
    assert [rate(step) for step in (0, 50, 100)] == pytest.approx([2.0, 1.0, 0.0])
    assert rate(25) == pytest.approx(2.0 * (1 + math.sqrt(0.5)) / 2)


@pytest.mark.parametrize("decay", ["constant", "cosine"])
def test_warm_up_rises_in_a_straight_line_to_the_peak(decay: str) -> None:
    plan = Schedule.model_validate({"learning_rate": 1.0, "decay": decay, "warmup_fraction": 0.2})
    rate = learning_rate(plan, steps=20)
    assert [rate(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rate(19) == (1.0 if decay == "constant" else pytest.approx((1 + math.cos(math.pi * 15 / 16)) / 2))


def test_a_constant_rate_stays() -> None:
    rate = learning_rate(Schedule(learning_rate=0.1, decay="constant"), steps=10)
    assert {rate(step) for step in range(10)} == {0.1}


@pytest.mark.parametrize(
    ("fields", "optimizer_type", "options"),
    [
        ({"optimizer": "sgd", "momentum": 0.9, "nesterov": True}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        ({"optimizer": "adam", "weight_decay": 0.1}, torch.optim.Adam, {"weight_decay": 0.1}),
        ({"optimizer": "adamw", "weight_decay": 0.1}, torch.optim.AdamW, {"weight_decay": 0.1}),
    ],
)
def test_the_optimizer_is_that_of_the_schedule(
    fields: dict[str, Any], optimizer_type: type, options: dict[str, Any]
) -> None:
    optimizer = make_optimizer(
        [torch.nn.Parameter(torch.zeros(1))], Schedule.model_validate({"learning_rate": 0.5, **fields})
    )
    assert type(optimizer) is optimizer_type
    assert options.items() <= optimizer.param_groups[0].items()


def test_channels_last_weights_resume_with_the_same_bits(tmp_path: Path) -> None:
    """The fused optimizers read weight and state by the same strides."""

    class Image(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Unflatten(1, (2, 3, 1)),
                torch.nn.Conv2d(2, 4, 3, padding=1),
                torch.nn.Flatten(),
                torch.nn.Linear(12, 1),
            ).to(memory_format=torch.channels_last)

    def make_image() -> Image:
        torch.manual_seed(0)
        return Image()

    whole = trainer(tmp_path / "whole", objective=make_image())
    whole.fit()
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path / "cut", objective=make_image(), should_stop=AtStep(8, Stop.LEAVE)).fit()
    again = trainer(tmp_path / "cut", objective=make_image())
    again.fit()
    assert _equal(_weights(whole), _weights(again))


def test_each_row_is_evaluated_once(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    assert run.validation is not None
    assert sum(rows for _, rows in run.validation.epoch(0)) == len(columns(1)["x"])
