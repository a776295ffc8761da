"""Datasets of feedback: a sample of what a model was trained on, and all feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from store import datasets, models
from store.adaptation import feedback
from store.errors import Conflict, NotFound

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from store.tables import Dataset

#: Operation of the origin of a dataset.
ADD_FEEDBACK: Final = "add_feedback"
#: Training rows of the old dataset that are trained on again, so that what was learned from them stays.
REHEARSAL_ROWS: Final = 2_000
SEED: Final = 0


def find_source(session: Session, name: str, reference: str | None) -> Dataset:
    """Return the dataset of the rehearsal and of the old test rows.

    It is the one that is named, or the one of the model without the feedback that was added to it. Raises `Conflict`
    with the reason where there is none.
    """
    hint = "name one with the same columns by `dataset`"
    if reference is not None:
        row = datasets.get(session, reference)
    else:
        model = models.version(session, name)
        origin, _ = models.origin(session, model)
        if origin is None:
            raise Conflict(f"{name}@{model.version} was not trained here, and its training rows are unknown; {hint}")
        row = _without_feedback(session, origin)
    if row.deleted_at is not None or row.state != "ready":
        state = "was deleted" if row.deleted_at else f"is {row.state}"
        raise Conflict(f"the dataset {datasets.reference_of(row)} {state}; {hint}")
    return row


def _without_feedback(session: Session, row: Dataset) -> Dataset:
    while row.origin and any(operation["operation"] == ADD_FEEDBACK for operation in row.origin["operations"]):
        try:
            row = datasets.get(session, row.origin["dataset"])
        except NotFound as error:
            raise Conflict(f"the dataset {error.reference} was deleted; name another by `dataset`") from None
    return row


def collect(
    session: Session, name: str, source: Dataset, *, column: str, rehearsal_rows: int = REHEARSAL_ROWS
) -> Dataset:
    """Create the next version of the dataset of a model's feedback.

    `column` is the canonical column of its inputs. Raises `Conflict` without feedback, and for a dataset with other
    columns.
    """
    until = feedback.last_id(session, name)
    if not until:
        raise Conflict(f"{name} has no feedback; send some with POST /api/v1/models/{name}/feedback")
    columns = (source.summary or {}).get("columns", {})
    if columns != {column: column, "label": "label"}:
        reference, actual = datasets.reference_of(source), ", ".join(columns)
        raise Conflict(f"{reference} has the columns {actual}, and feedback has {column} and label; name another")
    sample: list[dict[str, Any]] = [
        {"operation": "sample", "rows": rehearsal_rows, "splits": ["train"], "seed": SEED},
        {"operation": ADD_FEEDBACK, "model": name, "until": until},
    ]
    return datasets.derive(session, source, operations=sample, name=f"{name[:90]}-feedback", license=source.license)
