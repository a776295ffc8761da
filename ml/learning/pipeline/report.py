"""Report of a training run, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

if TYPE_CHECKING:
    from ml.learning.pipeline.robustness import AttackReport


class TransferredLabelsSection(TypedDict):
    """Labels of a base model and of the model trained from it, compared by name."""

    #: Labels that both have, in the order of the data: their weights were loaded.
    loaded: list[str]
    #: Labels that the base model lacks: their weights were initialized at random.
    new: list[str]
    #: Labels of the base model that the data lacks.
    dropped: list[str]


class CrossedSection(TypedDict):
    """Body that a slot took from a base model of another signal."""

    #: Signals that the slot reads, and that the backbone of the base read.
    signal: str
    source_signal: str
    #: Slot of the base.
    source_slot: str
    architecture: str
    #: Tensors of the network: taken from the base, and new, which are those of the stem.
    loaded: list[str]
    new: list[str]
    #: Tensors that stayed behind in the base, under their names there.
    dropped: list[str]


class TransferSection(TypedDict):
    """Names of tensors of a base model and of the network trained from it."""

    #: Tensors that the network loaded, whole, or as a part of a larger tensor.
    loaded: list[str]
    #: Tensors that the base model lacks, or has in another shape: they were initialized at random.
    new: list[str]
    #: Tensors of the base model that the network did not load.
    dropped: list[str]
    #: None if the base model has no weights for labels.
    labels: TransferredLabelsSection | None
    #: Slots that took the body of a base model of another signal; only if there are any.
    crossed: NotRequired[dict[str, CrossedSection]]


class TrainingSection(TypedDict):
    """Course of the training."""

    #: completed, early_stopped or stopped.
    reason: str
    epochs: int
    steps: int
    #: Epoch whose weights were restored, from 1; None if the last weights were kept.
    best_epoch: int | None
    #: How the schedule was changed for a small dataset; None if it was not.
    small_data_adjustments: str | None
    #: Maximum of steps, within which training continues while validation improves; None if it ends with its epochs.
    max_steps: int | None
    #: Whether `max_steps` ended the training while validation still improved.
    is_cut_by_budget: bool
    trained_parameters: int
    #: Threads of torch. On a CPU the last bits of the weights depend on them.
    threads: int
    #: Processes that trained together.
    devices: int


class ReliabilityBinSection(TypedDict):
    """Rows whose confidence lies in one of 15 equal ranges."""

    #: Means over the rows.
    confidence: float
    accuracy: float
    count: int


class ReliabilitySection(TypedDict):
    """Confidence of a classifier, compared with its accuracy."""

    #: Expected calibration error: mean over rows of the distance of confidence and accuracy of their bin.
    ece: float
    bins: list[ReliabilityBinSection]


class CalibrationSection(ReliabilitySection):
    """Reliability of the probabilities that are served, and of those before the calibration."""

    temperature: NotRequired[float]
    #: Validation rows, and rows of folds, that the temperature was fitted to.
    fitted_rows: NotRequired[int]
    before: NotRequired[ReliabilitySection]


class LabelSetsSection(TypedDict):
    """Sets of labels that `conformal` requests, on the rows of the report."""

    #: The requested fraction of rows whose set holds the true label, and the measured one.
    coverage: float
    measured: float
    #: Mean number of labels in a set.
    labels: float


class AbstentionSection(TypedDict):
    """Answers above a threshold of confidence, on the rows of the report."""

    #: The wanted fraction of right answers, by which the threshold was chosen on validation rows.
    precision: float
    threshold: float
    #: The measured fraction of right answers; 1 if there is none.
    measured: float
    #: Fraction of the rows that are answered.
    coverage: float


class SizeSection(TypedDict):
    """Cost and metrics of one of the nested sizes of a model."""

    size: float
    parameters: int
    #: Multiply-adds for one row.
    operations: int
    #: Median milliseconds of a request by its number of rows.
    latency_ms: dict[str, float]
    metrics: dict[str, float | None]
    #: 95 % confidence interval of the accuracy.
    accuracy_interval: NotRequired[tuple[float, float]]


class ExitStage(TypedDict):
    """One size of a model with early exits."""

    size: float
    #: Fraction of the rows that leave here.
    rows: float


class ExitsSection(TypedDict):
    """Effect of early exits on the rows of the report."""

    #: Confidence from which a row leaves; chosen on validation rows.
    threshold: float
    stages: list[ExitStage]
    #: Mean multiply-adds of a row, without and with exits.
    operations: float
    operations_with_exits: float
    accuracy: float
    accuracy_with_exits: float
    #: Median milliseconds of a request by its number of rows, with exits.
    latency_ms: dict[str, float]


class PartSection(TypedDict):
    """Accuracy of one part of a row alone, such as its image."""

    #: Rows that have the part.
    rows: int
    accuracy: float
    #: 95 % confidence interval of the accuracy.
    interval: tuple[float, float]
    #: Accuracy of all parts together, on the same rows.
    accuracy_of_all: float


class PartErrorSection(TypedDict):
    """Errors of one part of a row alone, in the unit of the target."""

    #: Rows that have the part.
    rows: int
    rmse: float
    mae: float
    r2: float
    #: RMSE of all parts together, on the same rows.
    rmse_of_all: float


class EvaluationReport(TypedDict):
    """Metrics on one split; a task adds sections of its own, such as `confusion_matrix`."""

    #: None for a base model.
    task: str | None
    #: Only for a base model.
    objective: NotRequired[str]
    #: Split that was evaluated, and its number of rows.
    split: str
    rows: int
    metrics: dict[str, float]
    #: The same metrics for the best prediction that ignores the input.
    baseline: NotRequired[dict[str, float]]
    #: Another model that learned from the same rows: model, rows, metrics.
    reference: NotRequired[dict[str, Any]]
    #: 95 % confidence intervals of metrics.
    intervals: NotRequired[dict[str, tuple[float, float]]]
    #: Only for classifiers.
    calibration: NotRequired[CalibrationSection]
    conformal: NotRequired[list[LabelSetsSection]]
    #: For the precisions that the validation rows can promise.
    abstention: NotRequired[list[AbstentionSection]]
    #: Only for models of several parts: slot -> its part alone.
    parts: NotRequired[dict[str, PartSection] | dict[str, PartErrorSection]]
    warnings: NotRequired[list[str]]
    #: Conditions under which a metric means something else than its name suggests.
    notes: NotRequired[list[str]]
    #: `attack`: accuracy and loss under attack, by radius.
    robustness: NotRequired[dict[str, AttackReport]]
    exits: NotRequired[ExitsSection]
    #: Nested sizes, the largest first.
    sizes: NotRequired[list[SizeSection]]


class TrainingReport(EvaluationReport):
    """Report of a training run: its evaluation, what it started from and how it went."""

    transfer: TransferSection | None
    training: TrainingSection
    #: Rows that encoders truncated or changed: split -> encoder -> what happened -> number of rows.
    truncation: dict[str, dict[str, dict[str, int]]]
