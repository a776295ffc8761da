"""Training specs, as JSON and as a JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from ml.config import Choice, Config, Named
from ml.package.version_1 import upgrade_spec
from ml.schedule import Schedule

if TYPE_CHECKING:
    from ml.spec.catalog import Catalog

T = TypeVar("T")

MODEL_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
START_FROM: Final = "start_from"
#: `format` of an option in its JSON schema: the option names a registered model.
MODEL_FORMAT: Final = "model"


def _require_one_node(nodes: int) -> int:
    if nodes > 1:
        message = "a training runs on one machine: set devices for several processes or GPUs of it, and leave nodes out"
        raise PydanticCustomError("not_offered", message)
    return nodes


class _Training(Config):
    """Fields of both kinds of training job."""

    dataset: str = Field(description="Dataset: its id, `name` (latest version) or `name@2`.")
    architecture: Named | None = Field(
        None, description="Backbone of a task or objective with one slot; short for `architectures`."
    )
    architectures: dict[str, Named] = Field(default_factory=dict, description="Backbone of each slot.")
    encoders: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description='Encoder options by slot, in place of those learned from the data: `{"image": {"height": 32}}`.',
    )
    start_from: str | dict[str, str] | None = Field(
        None,
        description="Base model, whose backbones and encoders are used; or a base model for each slot: of one that "
        "reads another signal, the body alone is used.",
    )
    schedule: Schedule = Schedule()
    devices: Annotated[int, Field(ge=1, le=64)] | Literal["all"] | None = Field(
        None,
        description="Number of GPUs, or of processes on a CPU, that train together: each computes a part of every "
        "batch. `all` takes those of the worker; null is one.",
    )
    nodes: Annotated[int, AfterValidator(_require_one_node)] | None = Field(
        None, ge=1, description="Machines of one training: 1, more are not offered."
    )
    seed: int = Field(0, ge=0, lt=2**32)
    model: str = Field(pattern=MODEL_NAME, description="Name under which the result is registered as the next version.")
    allow_noncommercial: bool | None = Field(
        None,
        description=(
            "With false, data or base models whose license excludes commercial use are refused; null means the setting "
            "of the service."
        ),
    )
    #: Whether the package predicts the task that was trained; without it, it is a base model.
    packages_task: ClassVar[bool]

    @property
    def parts(self) -> int:
        """Number of parts of a batch, where `all` devices count as one."""
        devices = self.devices if isinstance(self.devices, int) else 1
        return devices * (self.schedule.accumulate or 1)


class Pretrain(_Training):
    """Pretrain a backbone, without labels or with them (objective `supervised`)."""

    kind: Literal["pretrain"]
    packages_task: ClassVar[bool] = False
    objective: Named
    task: Named | None = Field(
        None, description="Task of an objective that trains one; default: the task of the dataset."
    )

    @property
    def tuning(self) -> Named:
        """Tuning of every weight: pretraining has no other."""
        return Choice(name="full")

    @property
    def sizes(self) -> None:
        """Nested sizes: pretraining has none."""
        return

    @property
    def exits(self) -> bool:
        """Early exits: pretraining has none."""
        return False

    @property
    def adversary(self) -> None:
        """Adversary: pretraining has none."""
        return


class Finetune(_Training):
    """Fit a network to a task, from a base model or from scratch."""

    kind: Literal["finetune"]
    packages_task: ClassVar[bool] = True
    task: Named
    objective: Named = Field(Choice(name="supervised"), description="Objective; must be one that trains a task.")
    tuning: Named = Choice(name="full")
    sizes: list[Annotated[float, Field(ge=1 / 64, le=1)]] | None = Field(
        None,
        min_length=2,
        max_length=8,
        description="Nested sizes, as fractions of the units of each layer: [1, 0.5, 0.25]. One network is trained, "
        "whose parts are smaller networks; null for one size.",
    )
    exits: bool = Field(
        False,
        description="Whether an input is answered by the smallest of the nested sizes that is sure of its class, by a "
        "threshold from validation rows. Without `sizes`, they are [1, 0.5, 0.25, 0.125].",
    )
    calibration_folds: int | None = Field(
        None,
        ge=2,
        le=10,
        description="Parts of the training rows by which the probabilities of a classifier are calibrated beside "
        "validation rows, for few rows: a network is trained without each part, and asked about its rows. Each takes "
        "as long as the training; heads on frozen backbones of texts (`head_only`) take seconds. Null: validation rows "
        "alone.",
    )
    adversary: Named | None = Field(
        None, description="Attack whose perturbed inputs are trained on, so that the model resists it; null for none."
    )


Spec = Annotated[Pretrain | Finetune, Field(discriminator="kind")]


def parse_stored_spec(content: Mapping[str, Any]) -> Pretrain | Finetune:
    """Parse a spec that this or an earlier version of Plinth stored.

    Specs of users are validated by `Spec` itself, which refuses the words of earlier versions.
    """
    spec: Pretrain | Finetune = TypeAdapter(Spec).validate_python(upgrade_spec(content))
    return spec


def references(spec: Pretrain | Finetune, catalog: Catalog) -> dict[str, str]:
    """Return the models that a spec names, by path.

    They stand in `start_from` and in options whose schema has the format `model`.
    """
    if isinstance(spec.start_from, dict):
        models = {f"{START_FROM}.{slot}": model for slot, model in spec.start_from.items()}
    else:
        models = {START_FROM: spec.start_from} if spec.start_from else {}
    objective = catalog.objectives.get(spec.objective.name)
    options = objective.config_schema.get("properties", {}) if objective else {}
    for name, option in options.items():
        model = spec.objective.config.get(name)
        if option.get("format") == MODEL_FORMAT and isinstance(model, str):
            models[f"objective.config.{name}"] = model
    return models


def split_references(values: Mapping[str, T]) -> tuple[T | dict[str, T] | None, dict[str, T]]:
    """Split values by path of `references` into those of `start_from` and all others.

    Those of `start_from` come by slot if it names a model for each slot.
    """
    others = {path: value for path, value in values.items() if path.partition(".")[0] != START_FROM}
    by_slot = {path.partition(".")[2]: value for path, value in values.items() if path not in others}
    return by_slot.get("", by_slot or None), others
