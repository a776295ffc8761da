"""What a user may ask for; JSON in, JSON schema out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ml.config import Config


class Choice(Config):
    """A name out of a registry and its options. A bare name is short for `{"name": ...}`."""

    name: str
    config: dict[str, Any] = {}


def _expand(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Named = Annotated[Choice, BeforeValidator(_expand, json_schema_input_type=str | Choice)]


class EarlyStopping(Config):
    """End when `monitor` has not improved by `min_delta` for `patience` epochs; keep the best weights."""

    monitor: str = "validation/loss"
    patience: int = Field(5, ge=1)
    min_delta: float = Field(0.0, ge=0)
    restore_best: bool = True


class Schedule(Config):
    """How long and how fast. What is absent is filled from the architecture's recipe by `resolve`."""

    epochs: int | None = Field(None, ge=1, le=100_000)
    batch_size: int | None = Field(None, ge=1, le=65_536)
    optimizer: Literal["sgd", "adam", "adamw"] | None = None
    learning_rate: float | None = Field(None, gt=0, le=100)
    momentum: float | None = Field(None, ge=0, lt=1)
    nesterov: bool | None = None
    weight_decay: float | None = Field(None, ge=0)
    decay: Literal["constant", "cosine", "one_cycle"] | None = None
    warmup_fraction: float | None = Field(None, ge=0, le=1)
    """Share of all steps."""
    gradient_clip_norm: float | None = Field(None, gt=0)
    precision: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint_every_seconds: float | None = Field(None, gt=0)


class Pretrain(Config):
    """Learn a backbone without labels, or with them (`supervised`)."""

    kind: Literal["pretrain"]
    dataset: str
    objective: Named
    architecture: Named | None = None
    architectures: dict[str, Named] = {}
    start_from: str | None = None
    schedule: Schedule = Schedule()
    seed: int = Field(0, ge=0, lt=2**32)
    model: str


class Finetune(Config):
    """Fit a network to a task, from a base model or from scratch."""

    kind: Literal["finetune"]
    dataset: str
    task: Named
    architecture: Named | None = None
    architectures: dict[str, Named] = {}
    start_from: str | None = None
    tuning: Named = Choice(name="full")
    schedule: Schedule = Schedule()
    seed: int = Field(0, ge=0, lt=2**32)
    model: str


Spec = Annotated[Pretrain | Finetune, Field(discriminator="kind")]
