"""Schemas of feedback."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from ml.config import Config


def _require_content(label: str) -> str:
    # A blank label would be a missing one in the dataset of the feedback, which would be rejected.
    if not label.strip():
        raise ValueError("must contain more than whitespace; send the true label")
    return label


Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_require_content)]


class FeedbackSend(Config):
    """The true label of an answered request, or of an input of its own."""

    request_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="`X-Request-Id` of a request whose input the watch has recorded.",
    )
    position: int = Field(0, ge=0, le=100_000, description="Position of the input in that request, from 0.")
    input: dict[str, Any] | None = Field(None, description="An input as `/predict` reads it.")
    label: Label
    new_label: bool = Field(False, description="Whether the label may be one that the model does not know.")

    @model_validator(mode="after")
    def _check_input(self) -> Self:
        if (self.request_id is None) == (self.input is None):
            raise ValueError("has both or neither of request_id and input; send one of them")
        return self


class Feedback(BaseModel):
    """The true label of one input; the last label of an input counts."""

    object: Literal["feedback"] = "feedback"
    id: str
    model: str
    label: str
    previous_label: str | None = Field(description="Label that the input had before; null for a new input.")
    is_repeated: bool = Field(description="Whether the input had this label already, so that nothing changed.")
    request_id: str | None
    version: int | None = Field(description="Version that answered the request.")
    predicted: str | None = Field(description="Its answer.")
    created_at: datetime


class LabelCandidate(BaseModel):
    """A recorded input that is useful to label."""

    request_id: str
    position: int
    input: dict[str, Any]
    version: int
    predicted: str
    confidence: float
    created_at: datetime


class LabelCandidates(BaseModel):
    """Recorded inputs without feedback, the most useful first."""

    object: Literal["label_candidates"] = "label_candidates"
    model: str
    labels: list[str] = Field(description="Labels that the model knows.")
    data: list[LabelCandidate]


class FeedbackDatasetCreate(Config):
    """Options of a dataset of feedback."""

    dataset: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[0-9]+)?$",
        max_length=200,
        description="Dataset to which feedback is added; null: the one that the model was trained on.",
    )
    rehearsal_rows: int = Field(2_000, ge=1, le=10_000_000, description="Rows of its train split that are included.")


class FeedbackDataset(BaseModel):
    """The next version of the dataset of a model's feedback; a job makes it."""

    object: Literal["feedback_dataset"] = "feedback_dataset"
    id: str
    dataset: str = Field(description="`name@version`")
    origin: str = Field(description="Dataset to which feedback is added.")
    feedback: int = Field(description="Rows of feedback.")
