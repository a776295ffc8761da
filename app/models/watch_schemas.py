"""Schemas of watches."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from ml.config import Config

KeepMode = TypeAliasType("KeepMode", Literal["off", "sketches", "rows"])
WatchAction = TypeAliasType("WatchAction", Literal["tell", "train", "promote"])
Auto = TypeAliasType("Auto", Literal["auto"])


class Gate(Config):
    """Conditions under which a new version may replace the present one."""

    min_test_rows: int = Field(15, ge=5, le=100_000, description="Fewest test rows of either kind, old and new.")
    max_forgetting: float = Field(
        0.02, ge=0, le=1, description="Accuracy on the old test rows that may be lost, beyond what varies anyway."
    )
    max_calibration_loss: float = Field(
        0.05, ge=0, le=1, description="Increase of the expected calibration error on the new test rows."
    )
    robustness: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Accuracy on corrupted test rows (noise, blur, typos) that may be lost. null: not measured, since "
        "every corruption needs up to 100 predictions.",
    )


class WatchSet(Config):
    """Options of a watch: the records of a model's requests, and the reaction to drift."""

    keep: KeepMode = Field(
        "off",
        description="`off` records nothing; `sketches` what the drift tests need, until they have read it; `rows` the "
        "inputs, too, which feedback and candidates for labels need.",
    )
    fraction: float = Field(0.1, gt=0, le=1, allow_inf_nan=False, description="Fraction of the answers, at random.")
    drift: Auto | Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=20)] = Field(
        "auto", description="Drift tests; `auto`: all that the model has values for."
    )
    gate: Auto | Gate = Field("auto", description="`auto`: the defaults.")
    then: WatchAction = Field(
        "tell",
        description="After drift or enough feedback: `tell` lists it; `train` makes a new version and compares it; "
        "`promote` moves the alias as well if the gate allows it, and back if the version does worse.",
    )
    alias: str = Field(
        "production",
        pattern=r"^[A-Za-z][A-Za-z0-9._-]*$",
        max_length=100,
        description="Alias that is moved. `train` and `promote` create it for the present version if it is missing.",
    )
    dataset: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[0-9]+)?$",
        max_length=200,
        description="Dataset of the rehearsal and of the old test rows; null: the one that the model was trained on.",
    )
    min_feedback: int = Field(
        100, ge=20, le=100_000, description="Feedback since the last training that starts one without drift."
    )
    guard_hours: float = Field(
        24, gt=0, le=8760, allow_inf_nan=False, description="Hours in which a promoted version may be moved back."
    )
    training: dict[str, Any] = Field(
        default_factory=dict, description="Changes to the spec of the fine-tuning, such as its `schedule`."
    )
    max_rows: int = Field(10_000, ge=1, le=1_000_000, description="Records; beyond it the oldest are deleted.")
    max_bytes: int = Field(256 * 1024**2, ge=1024, le=1024**4, description="Bytes of all records.")
    max_days: float = Field(30, gt=0, le=3650, allow_inf_nan=False, description="Age at which a record is deleted.")


class EvidencePoint(BaseModel):
    """Evidence of drift after some rows."""

    rows: int
    value: float
    at: datetime


class DriftState(BaseModel):
    """State of one drift test."""

    test: str
    version: int
    reference_rows: int = Field(description="First rows of the version, which later ones are compared with.")
    rows: int = Field(description="Rows that were compared.")
    value: float = Field(description="Evidence of drift: 1 at first.")
    threshold: float = Field(description="Value from which on it is an alarm.")
    false_alarm_rate: float = Field(description="Probability of an alarm without drift, however long the test runs.")
    alarm_at: datetime | None
    alarm_row: int | None
    evidence: list[EvidencePoint] = Field(
        default_factory=list, description="Values until now, oldest first; of many, every other one is dropped."
    )


class WatchEvent(BaseModel):
    """Something that a watch saw or did."""

    model_config = ConfigDict(extra="allow")

    at: datetime
    kind: str
    message: str


class VersionTraffic(BaseModel):
    """Counts of one version since the watch began."""

    version: int
    requests: int
    errors: int = Field(description="Requests that failed; invalid inputs and full queues do not count.")
    recorded: int = Field(description="Inputs that were recorded.")
    dropped: int = Field(description="Inputs that found no room in the queue of records.")


class WatchState(BaseModel):
    """Counts, drift tests and events of a watch."""

    records: int = Field(description="Records in the database.")
    bytes: int
    feedback: int = Field(description="Rows of feedback.")
    versions: list[VersionTraffic]
    drift: list[DriftState]
    round: dict[str, Any] | None = Field(description="The training that is under way, and its stage; null without.")
    alarm: dict[str, Any] | None = Field(description="First alarm about the present version; null without.")
    guard: dict[str, Any] | None = Field(description="Promotion that may be taken back; null without.")
    gate: dict[str, Any] | None = Field(description="Result of the last comparison; null before the first.")
    events: list[WatchEvent] = Field(description="Oldest first.")


class Watch(WatchSet):
    """A watch with its state."""

    object: Literal["watch"] = "watch"
    model: str
    state: WatchState
    created_at: datetime
    updated_at: datetime
