"""The only loop: steps, schedule, precision, validation, early stopping, checkpoints, progress, stop.

It never looks inside a batch or a network. All that a run is stands in its state, so that one taken up in another
process ends with the weights, bit for bit on a CPU, of one never interrupted.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ml.errors import SpecError, TrainingDiverged, TrainingInterrupted
from ml.learning.nn import device as devices
from ml.learning.training.optimizers import (
    ParameterGroupOptions,
    given,
    learning_rate,
    make_optimizer,
    parameter_groups,
)
from ml.learning.training.progress import Progress, Stop
from ml.schedule import EarlyStopping

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from torch.nn import Parameter

    from ml.learning.nn.objectives.base import Objective
    from ml.learning.training.batches import BatchSource
    from ml.learning.training.checkpoint import Checkpoint, Checkpoints
    from ml.schedule import Schedule

REPORT_EVERY_SECONDS = 0.5
CHECKPOINT_EVERY_SECONDS = 30.0
CHECKPOINT_COST = 0.01
"""Share of the time that checkpoints at the ends of epochs may take; of very short epochs not each gets its own."""
RISING = ("accuracy",)
"""Monitored numbers with these endings are better when higher, all others when lower."""


@dataclass(frozen=True, slots=True)
class TrainerResult:
    """How a run ended. `metrics` are the last of each name; `best_epoch`, from 1, says whose weights were restored."""

    reason: str
    metrics: dict[str, float]
    steps: int
    epochs: int
    best_epoch: int | None


@dataclass(slots=True)
class TrainerState:
    """What a checkpoint holds of the trainer beside tensors."""

    step: int = 0
    epoch: int = 0
    """Finished ones."""
    steps_in_epoch: int = 0
    """Steps done in the one at hand."""
    loss_total: float = 0.0
    """Over those steps, `loss_count` of which had a loss that is a number."""
    loss_count: int = 0
    best_value: float | None = None
    best_epoch: int | None = None
    epochs_without_improvement: int = 0
    reason: str | None = None
    """Set once training is over."""


class Trainer:
    """Makes `objective` smaller over `train`, judged on `validation`.

    `parameter_groups` is of the weights that do not move as fast as the schedule says, or not from the start.
    `fingerprint` identifies the run, so that it resumes from its own checkpoints only; `earlier_fingerprints` are those
    of the same run in checkpoints of earlier format versions.
    """

    def __init__(
        self,
        objective: Objective,
        train: BatchSource,
        validation: BatchSource | None,
        schedule: Schedule,
        *,
        device: torch.device,
        checkpoints: Checkpoints,
        fingerprint: str,
        earlier_fingerprints: Collection[str] = (),
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], Stop | None],
        group_options: Mapping[Parameter, ParameterGroupOptions] | None = None,
    ) -> None:
        self.objective = objective
        self.train = train
        self.validation = validation
        self.schedule = schedule
        self.device = device
        self.checkpoints = checkpoints
        self.fingerprint = fingerprint
        self.earlier_fingerprints = earlier_fingerprints
        self.on_progress = on_progress
        self.should_stop = should_stop
        self.times = schedule.epoch_repeats(len(train))
        """So many epochs stand for one of the schedule: it is judged after as many, and patience counts them as one."""
        self.epochs = given(schedule.epochs) * self.times
        self.steps = self.epochs * len(train)
        self.stopping = schedule.early_stopping or EarlyStopping(patience=given(schedule.epochs))
        moving = [parameter for parameter in objective.parameters() if parameter.requires_grad]
        self.optimizer = make_optimizer(parameter_groups(moving, group_options or {}, steps=self.steps), schedule)
        self.moving = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        """In the order of the optimizer's groups, by which its state is numbered."""
        self._thaws_next: float = 0
        self.rate = learning_rate(schedule, steps=self.steps)
        self.half = half_precision(schedule, device)
        self.autocast: Any = torch.autocast(device.type, dtype=self.half) if self.half else contextlib.nullcontext()
        self.scaler = torch.amp.GradScaler(device.type) if self.half is torch.float16 else None
        self.state = TrainerState()
        self.best: dict[str, Tensor] = {}
        self.metrics: dict[str, float] = {}
        self._losses: list[Tensor] = []
        self._saved_at = self._reported_at = self._began_at = time.monotonic()
        self._save_seconds = 0.0
        self._began_step = self._reported_step = 0

    def fit(self) -> TrainerResult:
        """Train to the end, or as far as asked, from the last checkpoint on if there is one.

        Raises `TrainingDiverged`, and `TrainingInterrupted` after saving when asked to leave.
        """
        self._resume()
        while self.state.reason is None:
            asked = self._train_epoch() if self.state.steps_in_epoch < len(self.train) else None
            if asked is Stop.FINISH:
                self.state.reason = "stopped"
                break
            self._finish_epoch()
        self._save()
        # Few rows that are seen so often are soon known by heart.
        wanted = self.stopping.restore_best if self.schedule.early_stopping else self.times > 1
        restores = bool(self.best) and (wanted or self.state.reason == "stopped")
        if restores:
            self.objective.load_state_dict(self.best)
        best_epoch = self.state.best_epoch if restores else None
        return TrainerResult(self.state.reason, self.metrics, self.state.step, self.state.epoch, best_epoch)

    def _train_epoch(self) -> Stop | None:
        """The hot loop. Nothing in it waits for the device: losses are kept as tensors until `_settle`."""
        state, param_groups = self.state, self.optimizer.param_groups
        self.objective.train()
        for batch, _ in self.train.epoch(state.epoch, start=state.steps_in_epoch):
            if state.step >= self._thaws_next:
                self._thaw()
            rate = self.rate(state.step)
            for group in param_groups:
                group["lr"] = rate * group["pace"]
            with self.autocast:
                loss: Any = self.objective(batch)["loss"]  # a tensor, whose `backward` torch does not annotate
            self.optimizer.zero_grad()
            if self.scaler is None:
                loss.backward()
                self._clip()
                self.optimizer.step()
            else:
                self._scaled_step(loss, self.scaler)
            self._losses.append(loss.detach())
            state.step += 1
            state.steps_in_epoch += 1
            now = time.monotonic()
            if now - self._reported_at >= REPORT_EVERY_SECONDS or state.step == self._began_step + 1:
                self._report(now)
            asked = self.should_stop()
            if asked is Stop.LEAVE:
                self._leave()
            if asked is Stop.FINISH:
                self._settle()
                return asked
            if now - self._saved_at >= (self.schedule.checkpoint_every_seconds or CHECKPOINT_EVERY_SECONDS):
                self._save()
        return None

    def _thaw(self) -> None:
        """Let move what moves from this step on. What is frozen has no gradient, so its optimizer has no state."""
        param_groups, step = self.optimizer.param_groups, self.state.step
        for group in param_groups:
            for parameter in group["params"]:
                parameter.requires_grad_(step >= group["thaws_at"])
        self._thaws_next = min((each["thaws_at"] for each in param_groups if each["thaws_at"] > step), default=math.inf)

    def _scaled_step(self, loss: Any, scaler: torch.amp.GradScaler) -> None:
        scaler.scale(loss).backward()
        scaler.unscale_(self.optimizer)
        self._clip()
        scaler.step(self.optimizer)
        scaler.update()

    def _clip(self) -> None:
        if self.schedule.gradient_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.moving, self.schedule.gradient_clip_norm)

    def _finish_epoch(self) -> None:
        state = self.state
        self._settle()
        found = {"train/loss": state.loss_total / state.loss_count} if state.loss_count else {}
        is_judged = (state.epoch + 1) % self.times == 0
        if is_judged and self.validation is not None:
            found |= self._validate(self.validation)
        self.metrics |= found
        state.epoch += 1
        state.steps_in_epoch = state.loss_count = 0
        state.loss_total = 0.0
        if is_judged:
            self._judge(found)
        if state.reason is None and state.epoch >= self.epochs:
            state.reason = "completed"
        self._tell(found, message=f"epoch {state.epoch} of {self.epochs}" if is_judged else None)
        spared = time.monotonic() - self._saved_at
        if state.reason is None and (self._save_seconds == 0 or spared * CHECKPOINT_COST >= self._save_seconds):
            self._save()

    def _validate(self, rows_held_out: BatchSource) -> dict[str, float]:
        chance = self._chance()
        self.objective.eval()
        totals: dict[str, Tensor] = {}
        count = 0
        with torch.no_grad(), self.autocast:
            for batch, rows in rows_held_out.epoch(0):
                for name, term in self.objective(batch).items():
                    totals[name] = totals.get(name, torch.zeros((), device=self.device)) + term.float() * rows
                count += rows
                if self.should_stop() is Stop.LEAVE:
                    # As if this validation had not begun: the next process begins with it.
                    self._restore_chance(chance)
                    self._leave()
        means = {f"validation/{name}": float(total) / count for name, total in totals.items()}
        if not math.isfinite(means["validation/loss"]):
            raise self._diverged("validation loss", means["validation/loss"], self.state.step)
        return means

    def _judge(self, found: dict[str, float]) -> None:
        """Keep the weights when they are the best so far; end after `patience` epochs without."""
        state, monitor = self.state, self.stopping.monitor
        if monitor not in found:
            if self.schedule.early_stopping:
                known = ", ".join(sorted(found))
                raise SpecError(f"early stopping cannot watch {monitor!r}; known: {known}")
            return
        value, sign = found[monitor], -1 if monitor.endswith(RISING) else 1
        if state.best_value is None or sign * value < sign * state.best_value - self.stopping.min_delta:
            state.best_value, state.best_epoch, state.epochs_without_improvement = value, state.epoch, 0
            self.best = {name: each.detach().clone() for name, each in self.objective.state_dict().items()}
            return
        state.epochs_without_improvement += 1
        if self.schedule.early_stopping and state.epochs_without_improvement >= self.stopping.patience:
            state.reason = "early_stopped"

    def _settle(self) -> dict[str, float]:
        """Wait for the device once, and look at every loss since the last time."""
        if not self._losses:
            return {}
        losses = torch.stack(self._losses).float().cpu()
        first = self.state.step - len(losses) + 1
        self._losses.clear()
        sound = losses.isfinite()
        if not sound.all() and (self.scaler is None or self.scaler.get_scale() < 1):
            # With float16 an overflow is no end: the scaler passes over the step and halves its scale, down to 1.
            worst = int(sound.logical_not().nonzero()[0])
            raise self._diverged("loss", float(losses[worst]), first + worst)
        for loss in losses[sound].tolist():  # one by one, so that the sum does not depend on when it is taken
            self.state.loss_total += loss
            self.state.loss_count += 1
        return {"train/loss": float(losses[sound].mean())} if sound.any() else {}

    def _diverged(self, what: str, value: float, step: int) -> TrainingDiverged:
        hint = "Lower the learning rate, add warm-up or clip gradients (`gradient_clip_norm`)."
        return TrainingDiverged(f"the {what} became {value} at step {step} of {self.steps}", hint=hint)

    def _report(self, now: float) -> None:
        found = self._settle()
        self.metrics |= found
        seconds, steps = now - self._reported_at, self.state.step - self._reported_step
        self._reported_at, self._reported_step = now, self.state.step
        found = {**found, "train/learning_rate": self.rate(self.state.step - 1)}
        self._tell(found, samples_per_second=steps * self.train.batch_size / max(seconds, 1e-9))

    def _tell(self, metrics: dict[str, float] | None = None, **facts: Any) -> None:
        state = self.state
        done, left = state.step - self._began_step, self.steps - state.step
        eta = (time.monotonic() - self._began_at) / done * left if done else None
        epoch = min(state.epoch + (state.steps_in_epoch > 0), self.epochs)
        progress = Progress(
            epoch=epoch,
            epochs=self.epochs,
            step=state.step,
            steps=self.steps,
            eta_seconds=eta,
            metrics=metrics or {},
            **facts,
        )
        self.on_progress(progress)

    def _leave(self) -> None:
        self._save()
        raise TrainingInterrupted(f"left after step {self.state.step} of {self.steps}; the checkpoint holds everything")

    def _save(self) -> None:
        """Only weights that are sound are worth keeping, so the losses are looked at first."""
        self.metrics |= self._settle()
        began = time.monotonic()
        tensors = {
            **{f"objective.{name}": each for name, each in self.objective.state_dict().items()},
            **{f"best.{name}": each for name, each in self.best.items()},
            **{f"optimizer.{name}": each for name, each in self._optimizer_tensors().items()},
            **{f"rng.{name}": each for name, each in self._chance().items()},
        }
        facts = {
            "run_fingerprint": self.fingerprint,
            "metrics": self.metrics,
            "grad_scaler": self.scaler.state_dict() if self.scaler else None,
        }
        threads = torch.get_num_threads()
        state = {**asdict(self.state), **facts, "threads": threads, "torch_version": torch.__version__}
        path = self.checkpoints.save(self.state.step, tensors=tensors, state=state)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - began
        self._tell(checkpoint=path)

    def _resume(self) -> None:
        found, passed_over = self.checkpoints.newest({self.fingerprint, *self.earlier_fingerprints})
        for reason in passed_over:
            self._tell(message=reason)
        if found is None:
            return
        self._restore(found)
        self._tell(message=f"goes on from step {self.state.step}")

    def _restore(self, checkpoint: Checkpoint) -> None:
        saved = dict(checkpoint.state)
        self.state = TrainerState(**{name: saved[name] for name in asdict(self.state)})
        self.metrics = dict(saved["metrics"])
        self._began_step = self._reported_step = self.state.step
        # Another number of threads adds up in another order.
        torch.set_num_threads(saved["threads"])
        self.objective.load_state_dict(checkpoint.under("objective"))
        self.best = {name: each.to(self.device) for name, each in checkpoint.under("best").items()}
        self._restore_optimizer(checkpoint.under("optimizer"))
        if self.scaler is not None:
            self.scaler.load_state_dict(saved["grad_scaler"])
        self._restore_chance(checkpoint.under("rng"))

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        kept = self.optimizer.state_dict()["state"]
        return {f"{index}.{name}": each for index, of in kept.items() for name, each in of.items() if each is not None}

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        kept: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            index, _, key = name.partition(".")
            like = self.moving[int(index)]
            # Laid out as its weight (channels last, say): the fused kernels walk both by one stride.
            alike = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            kept.setdefault(int(index), {})[key] = alike
        parameter_groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": kept, "param_groups": parameter_groups})

    def _chance(self) -> dict[str, Tensor]:
        on_gpu = {"cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else {}
        return {"torch": torch.get_rng_state(), **on_gpu}

    def _restore_chance(self, chance: dict[str, Tensor]) -> None:
        torch.set_rng_state(chance["torch"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(chance["cuda"], self.device)


def half_precision(schedule: Schedule, device: torch.device) -> torch.dtype | None:
    """What autocast computes in, as asked or as the device gains; None for float32 throughout."""
    match schedule.precision:
        case "float32":
            return None
        case "bfloat16":
            return torch.bfloat16
        case "float16":
            return torch.float16
        case _:
            return devices.precision(device)
