"""The training loop: mixed precision, gradient clipping, validation, early stopping, checkpoint and resume.

The loop does not look into batches or networks. Its checkpoints hold the whole state of a run, so that a run resumed in
another process ends with the same weights as an uninterrupted one, bit for bit on a CPU.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from ml.errors import SpecError, TrainingDiverged, TrainingInterrupted
from ml.learning.nn import device as devices
from ml.learning.training.batch_gradient import VALIDATION, BatchGradient
from ml.learning.training.distributed import SingleProcess
from ml.learning.training.muon import hidden_matrices
from ml.learning.training.optimizers import (
    PLATEAU_FACTOR,
    PLATEAU_PATIENCE,
    ParameterGroupOptions,
    learning_rate,
    make_optimizer,
    parameter_groups,
    require_resolved,
)
from ml.learning.training.progress import Progress, Stop
from ml.learning.training.weight_trace import WeightTrace
from ml.schedule import EarlyStopping, is_higher_better

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from torch.nn import Parameter

    from ml.learning.nn.objectives.base import Objective
    from ml.learning.training.batches import BatchSource
    from ml.learning.training.checkpoint import Checkpoint, Checkpoints
    from ml.schedule import Schedule

REPORT_EVERY_SECONDS: Final = 0.5
CHECKPOINT_EVERY_SECONDS: Final = 30.0
#: Fraction of the time that checkpoints at the ends of epochs may take; not each of very short epochs gets one.
CHECKPOINT_COST: Final = 0.01
#: After several rounds, the last weights are kept if they lose at most this fraction of what validation has gained: the
#: learning rate has fallen to 0, and few validation rows tell no smaller difference.
KEPT_GAIN_LOSS: Final = 0.05
#: Loss of a classifier that is right on every validation row with 99 % confidence: what it gains below is no better
#: answer, and costs as many steps as all rounds before.
PERFECT_LOSS: Final = 0.01
#: Answers of `should_stop`, by the number under which processes agree on them.
REQUESTS: Final = (None, Stop.FINISH, Stop.LEAVE)


@dataclass(frozen=True, slots=True)
class TrainerResult:
    """Outcome of a training: why it ended, last metrics, steps and epochs."""

    reason: str
    metrics: dict[str, float]
    steps: int
    epochs: int
    #: Epoch whose weights were restored, from 1; None if the last weights were kept.
    best_epoch: int | None
    #: Whether a budget (`max_steps`) ended the training while validation still improved.
    is_cut_by_budget: bool = False
    #: Digests of weights (see `WeightTrace`).
    trace: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class TrainerState:
    """State of the trainer that a checkpoint holds beside tensors."""

    step: int = 0
    #: Finished epochs.
    epoch: int = 0
    #: Finished steps of the current epoch.
    steps_in_epoch: int = 0
    #: Sum of the finite losses of these steps.
    loss_total: float = 0.0
    #: Number of these finite losses.
    loss_count: int = 0
    best_value: float | None = None
    best_epoch: int | None = None
    epochs_without_improvement: int = 0
    #: Times that the learning rate was lowered on a plateau, in this round, and the epochs since the last time or the
    #: last improvement.
    rate_reductions: int = 0
    plateau_epochs: int = 0
    #: First and latest values of the monitored metric.
    first_value: float | None = None
    last_value: float | None = None
    #: Finished rounds; each later one has twice the epochs of the one before it.
    rounds: int = 0
    #: Why training has ended; None while it has not.
    reason: str | None = None
    #: Digests of weights (see `WeightTrace`).
    trace: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Minimizes `objective` on the batches of `train` and evaluates it on those of `validation`.

    `group_options` are those of weights with a learning rate or a start of training of their own. `fingerprint`
    identifies the run, so that it resumes from its own checkpoints only; `earlier_fingerprints` are those of the same
    run in checkpoints of earlier format versions. `processes` are those that train together, each with a trainer of its
    own; `seed` is that of the random numbers of divided batches.
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
        processes: SingleProcess | None = None,
        seed: int = 0,
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
        #: Passes over the data that count as one epoch of the schedule for validation and early stopping.
        self.epoch_repeats = schedule.epoch_repeats(len(train))
        #: Epochs of the first round.
        self.round_epochs = require_resolved(schedule.epochs) * self.epoch_repeats
        self.stopping = schedule.early_stopping or EarlyStopping(patience=require_resolved(schedule.epochs))
        trainable = [parameter for parameter in objective.parameters() if parameter.requires_grad]
        steps = schedule.cap_steps(self.round_epochs * len(train))
        options = dict(group_options or {})
        if schedule.optimizer == "muon":
            for matrix in hidden_matrices(objective):
                options[matrix] = replace(options.get(matrix, ParameterGroupOptions()), is_matrix=True)
        self.optimizer = make_optimizer(parameter_groups(trainable, options, steps=steps), schedule)
        #: Trained parameters in the order of the optimizer's groups, by which its state is numbered.
        self.trainable = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self._next_unfreeze_step: float = 0
        self.half_type = half_precision(schedule, device)
        self.autocast: Any = (
            torch.autocast(device.type, dtype=self.half_type) if self.half_type else contextlib.nullcontext()
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.half_type is torch.float16)
        self.processes = processes or SingleProcess()
        self.accumulate = schedule.accumulate or 1
        self.gradient = BatchGradient(
            objective, self.processes, accumulate=self.accumulate, seed=seed, autocast=self.autocast
        )
        self.state = TrainerState()
        self._set_round()
        self.best_weights: dict[str, Tensor] = {}
        self.metrics: dict[str, float] = {}
        self._losses: list[Tensor] = []
        self._saved_at = self._reported_at = self._began_at = time.monotonic()
        self._save_seconds = 0.0
        self._began_step = self._reported_step = 0

    def fit(self) -> TrainerResult:
        """Train from the last checkpoint, if any, until the end or a stop request.

        Raises:
            TrainingDiverged: A loss is not finite.
            TrainingInterrupted: `should_stop` returned `Stop.LEAVE`; a checkpoint has been saved.
        """
        self._resume()
        self._synchronize()
        if self.state.step == 0:
            self._trace.add_step(0, self._traced_tensors())
        while self.state.reason is None:
            is_whole = self.state.steps_in_epoch >= len(self.train) or self.state.step >= self.steps
            request = None if is_whole else self._train_epoch()
            if request is Stop.FINISH:
                self.state.reason = "stopped"
                break
            self._finish_epoch()
        self._save()
        # Few rows that are repeated often are soon memorized.
        is_repeated = self.state.rounds > 0 or self.epoch_repeats > 1
        restores_best = self.stopping.restore_best if self.schedule.early_stopping else is_repeated
        restores = bool(self.best_weights) and (restores_best or self.state.reason == "stopped")
        restores &= not self._is_last_as_good()
        if restores:
            self.objective.load_state_dict(self.best_weights)
        best_epoch = self.state.best_epoch if restores else None
        state, is_cut = self.state, self._is_cut_by_budget()
        if is_cut:
            budget = f"the budget of {self.schedule.max_steps:,} steps ended while validation still improved"
            self._report(message=f"{budget}: a larger schedule.max_steps may give a better model")
        return TrainerResult(self.state.reason, self.metrics, state.step, state.epoch, best_epoch, is_cut, state.trace)

    @property
    def _trace(self) -> WeightTrace:
        return WeightTrace(self.state.trace)

    def _traced_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that training changes: weights with a gradient, and buffers."""
        trained = {id(parameter) for parameter in self.trainable}
        weights = ((name, weight) for name, weight in self.objective.named_parameters() if id(weight) in trained)
        return {**dict(weights), **dict(self.objective.named_buffers())}

    def _is_last_as_good(self) -> bool:
        """Tell whether the last weights of several rounds are as good as the best."""
        state = self.state
        if state.reason != "completed" or not state.rounds or self.schedule.early_stopping:
            return False
        values = state.first_value, state.last_value, state.best_value
        first, last, best = (math.inf if value is None else value for value in values)
        return abs(last - best) <= KEPT_GAIN_LOSS * abs(first - best)

    def _set_round(self) -> None:
        """Set epochs, steps and learning rate of the current round.

        The learning rate of a round begins anew, as in SGDR (Loshchilov & Hutter 2017, arXiv:1608.03983).
        """
        rounds, batches = self.state.rounds, len(self.train)
        #: Epochs and steps up to the end of the current round.
        self.epochs = self.round_epochs * (2 ** (rounds + 1) - 1)
        self.steps = self.schedule.cap_steps(self.epochs * batches)
        self.epochs = math.ceil(self.steps / batches)
        start = self.round_epochs * (2**rounds - 1) * batches
        rate = learning_rate(self.schedule, steps=self.steps - start)
        self.learning_rate: Callable[[int], float] = lambda step: rate(step - start)

    @property
    def can_continue(self) -> bool:
        """Tell whether the budget allows a round of twice the epochs."""
        next_steps = 2 * self.round_epochs * 2**self.state.rounds * len(self.train)
        has_budget = self.steps + next_steps <= (self.schedule.max_steps or 0)
        return has_budget and self.validation is not None

    def _begin_next_round(self) -> bool:
        """Begin another round if validation still improves within the budget."""
        state = self.state
        if not self.can_continue or not self._still_improves():
            return False
        state.rounds += 1
        state.rate_reductions = state.plateau_epochs = 0
        self._set_round()
        message = f"validation still improves after {state.epoch} epochs: training continues up to {self.epochs}"
        self._report(message=f"{message} (budget {self.schedule.max_steps:,} steps)")
        return True

    def _still_improves(self) -> bool:
        """Tell whether the round ended with its best epoch, and not perfect."""
        if self.metrics.get("validation/accuracy") == 1 and self.metrics["validation/loss"] < PERFECT_LOSS:
            return False
        last_quarter = self.epochs - max(1, self.round_epochs * 2**self.state.rounds // 4)
        return self.state.best_epoch is not None and self.state.best_epoch > last_quarter

    def _is_cut_by_budget(self) -> bool:
        has_budget = self.schedule.max_steps is not None and self.validation is not None
        return has_budget and self.state.reason == "completed" and self._still_improves()

    def _train_epoch(self) -> Stop | None:
        """Train the rest of an epoch; returns `Stop.FINISH` if that was requested.

        This is the hot loop: nothing in it waits for the device, so losses stay tensors until `_flush_losses`.
        """
        state, param_groups = self.state, self.optimizer.param_groups
        self.objective.train()
        parts = (batch for batch, _ in self.train.epoch(state.epoch, start=state.steps_in_epoch))
        for batches in zip(*[parts] * self.accumulate, strict=True):
            if state.step >= self._next_unfreeze_step:
                self._unfreeze()
            rate = self._rate(state.step)
            for group in param_groups:
                group["lr"] = rate * group["rate_factor"]
            self.optimizer.zero_grad()
            loss = self.gradient.backward(batches, step=state.step, scale=self.scaler.scale)
            if self.schedule.gradient_clip_norm is not None:
                self.scaler.unscale_(self.optimizer)
                torch.nn.utils.clip_grad_norm_(self.trainable, self.schedule.gradient_clip_norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self._losses.append(loss)
            state.step += 1
            state.steps_in_epoch += 1
            if state.step == 1:
                self._trace.add_step(1, self._traced_tensors())
            is_reported, is_saved, request = self._decide(now := time.monotonic())
            if is_reported:
                self._report_step(now)
            if request is Stop.LEAVE:
                self._leave()
            if request is Stop.FINISH:
                self._flush_losses()
                return request
            if is_saved:
                self._save()
            if state.step >= self.steps:
                break
        return None

    def _decide(self, now: float) -> tuple[bool, bool, Stop | None]:
        """Return whether to report, whether to save, and a request; equal in all processes."""
        is_reported = now - self._reported_at >= REPORT_EVERY_SECONDS or self.state.step == self._began_step + 1
        save_seconds = self.schedule.checkpoint_every_seconds or CHECKPOINT_EVERY_SECONDS
        request = REQUESTS.index(self.should_stop())
        decisions = self.processes.agree(is_reported, now - self._saved_at >= save_seconds, request)
        return bool(decisions[0]), bool(decisions[1]), REQUESTS[decisions[2]]

    def _unfreeze(self) -> None:
        """Train the weights that are trained from this step on.

        A frozen weight has no gradient, so the optimizer holds no state for it.
        """
        param_groups, step = self.optimizer.param_groups, self.state.step
        for group in param_groups:
            for parameter in group["params"]:
                parameter.requires_grad_(step >= group["unfreeze_step"])
        later = (group["unfreeze_step"] for group in param_groups if group["unfreeze_step"] > step)
        self._next_unfreeze_step = min(later, default=math.inf)

    def _finish_epoch(self) -> None:
        state = self.state
        self._flush_losses()
        metrics = {"train/loss": state.loss_total / state.loss_count} if state.loss_count else {}
        is_evaluated = (state.epoch + 1) % self.epoch_repeats == 0 or state.step >= self.steps
        if is_evaluated and self.validation is not None:
            metrics |= self._validate(self.validation)
        self.metrics |= metrics
        state.epoch += 1
        self._trace.add_epoch(state.epoch, state.step, self._traced_tensors())
        state.steps_in_epoch = state.loss_count = 0
        state.loss_total = 0.0
        if is_evaluated:
            self._update_best(metrics)
        if state.reason is None and state.epoch >= self.epochs and not self._begin_next_round():
            state.reason = "completed"
        self._report(metrics, message=f"epoch {state.epoch} of {self.epochs}" if is_evaluated else None)
        since_save = time.monotonic() - self._saved_at
        is_cheap = self._save_seconds == 0 or since_save * CHECKPOINT_COST >= self._save_seconds
        (is_saved,) = self.processes.agree(is_cheap)
        if state.reason is None and is_saved:
            self._save()

    def _validate(self, batches: BatchSource) -> dict[str, float]:
        """Return the means over the validation rows, of which each process reads every n-th batch."""
        rng_state = self._rng_state()
        self.objective.eval()
        rank, ranks, count = self.processes.rank, self.processes.ranks, len(batches)
        # A process for which no batch is left computes another one: to know the names of the terms.
        first = rank % count
        row_counts = torch.zeros(count, dtype=torch.int64)
        terms: dict[str, Tensor] = {}
        with torch.no_grad(), self.autocast:
            for index, (batch, rows) in zip(
                itertools.count(first, ranks), batches.epoch(0, start=first, stride=ranks), strict=False
            ):
                self.gradient.reseed(self.state.step, index, stream=VALIDATION)
                row_counts[index] = rows if rank < count else 0
                for name, term in self.objective(batch).items():
                    values = terms.setdefault(name, torch.zeros(count, device=self.device))
                    values[index] = term.float() * row_counts[index]
                # Only rank 0 is asked to leave, and the end of its process ends the others.
                if self.should_stop() is Stop.LEAVE:
                    # As if this validation had not begun: the next process begins with it.
                    self._restore_rng_state(rng_state)
                    self._leave()
        self.processes.add([row_counts, *terms.values()])
        total_rows = int(row_counts.sum())
        # In the order of the batches, wherever they were computed.
        totals = {name: sum(values.unbind(), torch.zeros((), device=self.device)) for name, values in terms.items()}
        means = {f"validation/{name}": float(total) / total_rows for name, total in totals.items()}
        if not math.isfinite(means["validation/loss"]):
            raise self._divergence("validation loss", means["validation/loss"], self.state.step)
        return means

    def _update_best(self, metrics: dict[str, float]) -> None:
        """Keep the best weights; end after `patience` epochs without improvement."""
        state, monitor = self.state, self.stopping.monitor
        if monitor not in metrics:
            if self.schedule.early_stopping:
                names = ", ".join(sorted(metrics))
                raise SpecError(f"early stopping cannot monitor {monitor!r}; known: {names}")
            return
        value, sign = metrics[monitor], -1 if is_higher_better(monitor) else 1
        state.first_value = value if state.first_value is None else state.first_value
        state.last_value = value
        if state.best_value is None or sign * value < sign * state.best_value - self.stopping.min_delta:
            state.best_value, state.best_epoch = value, state.epoch
            state.epochs_without_improvement = state.plateau_epochs = 0
            self.best_weights = {name: tensor.detach().clone() for name, tensor in self.objective.state_dict().items()}
            return
        state.epochs_without_improvement += 1
        self._lower_rate_on_plateau()
        if self.schedule.early_stopping and state.epochs_without_improvement >= self.stopping.patience:
            state.reason = "early_stopped"

    def _lower_rate_on_plateau(self) -> None:
        """Lower the learning rate after `PLATEAU_PATIENCE` epochs without improvement."""
        state = self.state
        state.plateau_epochs += 1
        if self.schedule.decay != "plateau" or state.plateau_epochs < PLATEAU_PATIENCE:
            return
        state.rate_reductions += 1
        state.plateau_epochs = 0
        rate = self._rate(state.step)
        self._report(message=f"validation has not improved for {PLATEAU_PATIENCE} epochs: learning rate {rate:.2g}")

    def _rate(self, step: int) -> float:
        """Return the learning rate of a step, as lowered on plateaus so far."""
        return self.learning_rate(step) * PLATEAU_FACTOR**self.state.rate_reductions

    def _flush_losses(self) -> dict[str, float]:
        """Add up all losses since the last call; returns their mean.

        This is the only place that waits for the device.

        Raises:
            TrainingDiverged: A loss is not finite.
        """
        if not self._losses:
            return {}
        losses = torch.stack(self._losses).float().cpu()
        first_step = self.state.step - len(losses) + 1
        self._losses.clear()
        is_finite = losses.isfinite()
        if not is_finite.all() and (not self.scaler.is_enabled() or self.scaler.get_scale() < 1):
            # An overflow of float16 is no divergence: the scaler skips the step and halves its scale, down to 1.
            index = int(is_finite.logical_not().nonzero()[0])
            raise self._divergence("loss", float(losses[index]), first_step + index)
        for loss in losses[is_finite].tolist():  # in sequence, so that the sum does not depend on the time of the call
            self.state.loss_total += loss
            self.state.loss_count += 1
        return {"train/loss": float(losses[is_finite].mean())} if is_finite.any() else {}

    def _divergence(self, name: str, value: float, step: int) -> TrainingDiverged:
        hint = "Lower the learning rate, add warm-up or clip gradients (`gradient_clip_norm`)."
        return TrainingDiverged(f"the {name} became {value} at step {step} of {self.steps}", hint=hint)

    def _report_step(self, now: float) -> None:
        metrics = self._flush_losses()
        self.metrics |= metrics
        seconds, steps = now - self._reported_at, self.state.step - self._reported_step
        self._reported_at, self._reported_step = now, self.state.step
        metrics = {**metrics, "train/learning_rate": self._rate(self.state.step - 1)}
        self._report(metrics, samples_per_second=steps * self.train.batch_size / max(seconds, 1e-9))

    def _report(self, metrics: dict[str, float] | None = None, **fields: Any) -> None:
        state = self.state
        finished, remaining = state.step - self._began_step, self.steps - state.step
        eta = (time.monotonic() - self._began_at) / finished * remaining if finished else None
        epoch = min(state.epoch + (state.steps_in_epoch > 0), self.epochs)
        progress = Progress(
            epoch=epoch,
            epochs=self.epochs,
            step=state.step,
            steps=self.steps,
            eta_seconds=eta,
            metrics=metrics or {},
            **fields,
        )
        self.on_progress(progress)

    def _leave(self) -> None:
        self._save()
        raise TrainingInterrupted(f"interrupted after step {self.state.step} of {self.steps}; a checkpoint is saved")

    def _save(self) -> None:
        """Save a checkpoint if all losses are finite; raises `TrainingDiverged` otherwise."""
        self.metrics |= self._flush_losses()
        began = time.monotonic()
        groups = {
            "objective": self.objective.state_dict(),
            "best": self.best_weights,
            "optimizer": self._optimizer_tensors(),
            "rng": self._rng_state(),
        }
        tensors = {f"{group}.{name}": tensor for group, members in groups.items() for name, tensor in members.items()}
        state = {
            **asdict(self.state),
            "run_fingerprint": self.fingerprint,
            "metrics": self.metrics,
            "grad_scaler": self.scaler.state_dict() if self.scaler.is_enabled() else None,
            "threads": torch.get_num_threads(),
            "ranks": self.processes.ranks,
            "torch_version": torch.__version__,
        }
        path = self.checkpoints.save(self.state.step, tensors=tensors, state=state)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - began
        self._report(checkpoint=path)

    def _resume(self) -> None:
        checkpoint, skipped = self.checkpoints.load_newest({self.fingerprint, *self.earlier_fingerprints})
        for reason in skipped:
            self._report(message=reason)
        if checkpoint is None:
            return
        self._restore(checkpoint)
        self._report(message=f"resuming from step {self.state.step}")

    def _synchronize(self) -> None:
        """Begin in all processes with the weights of rank 0.

        Raises `RuntimeError` if they have read different checkpoints.
        """
        (step,) = self.processes.agree(self.state.step)
        if step != self.state.step:
            raise RuntimeError(f"rank {self.processes.rank} resumed at step {self.state.step}, rank 0 at step {step}")
        self.processes.copy_from_first(self.objective.state_dict().values())

    def _restore(self, checkpoint: Checkpoint) -> None:
        saved = checkpoint.state
        self.state = TrainerState(**{name: saved.get(name, value) for name, value in asdict(self.state).items()})
        self._set_round()
        self.metrics = dict(saved["metrics"])
        self._began_step = self._reported_step = self.state.step
        has_same_ranks = saved.get("ranks", 1) == self.processes.ranks
        if (threads := saved["threads"]) != torch.get_num_threads() and has_same_ranks:
            # Another number of threads adds in another order.
            torch.set_num_threads(threads)
            self._report(message=f"computing with the number of threads of the checkpoint: {threads}")
        self.objective.load_state_dict(checkpoint.tensors_under("objective"))
        self.best_weights = {name: tensor.to(self.device) for name, tensor in checkpoint.tensors_under("best").items()}
        self._restore_optimizer(checkpoint.tensors_under("optimizer"))
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(saved["grad_scaler"])
        self._restore_rng_state(checkpoint.tensors_under("rng"))

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        states = self.optimizer.state_dict()["state"]
        return {
            f"{index}.{name}": tensor
            for index, state in states.items()
            for name, tensor in state.items()
            if tensor is not None
        }

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, _, key = name.partition(".")
            weight = self.trainable[int(index)]
            # In the memory layout of its weight (channels last, say): fused kernels read both by the same strides.
            same_layout = torch.empty_like(weight).copy_(tensor) if tensor.shape == weight.shape else tensor
            states.setdefault(int(index), {})[key] = same_layout
        param_groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": param_groups})

    def _rng_state(self) -> dict[str, Tensor]:
        """Return the random state of torch, on the CPU and on the GPU in use."""
        on_gpu = {"cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else {}
        return {"torch": torch.get_rng_state(), **on_gpu}

    def _restore_rng_state(self, rng_state: dict[str, Tensor]) -> None:
        torch.set_rng_state(rng_state["torch"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(rng_state["cuda"], self.device)


def half_precision(schedule: Schedule, device: torch.device) -> torch.dtype | None:
    """Return the type that autocast computes in; None for float32 throughout.

    `auto` selects the type that is fastest on the device.
    """
    match schedule.precision:
        case "float32":
            return None
        case "bfloat16":
            return torch.bfloat16
        case "float16":
            return torch.float16
        case _:
            return devices.half_precision(device)
