"""Feedback: true labels of inputs, of which datasets are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select, update

from store.database import lock
from store.errors import Conflict
from store.ids import new_id
from store.tables import Feedback, clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Session

#: Rows of feedback of one model.
MAX_ROWS: Final = 100_000
#: Bytes of the inputs of one model: 100,000 images of 20 KiB in base64.
MAX_BYTES: Final = 2 * 1024**3
#: Rows that are read from the database at a time.
ROWS_PER_PAGE: Final = 500
_LIMIT_HINT: Final = "make a dataset of them, and continue with a model of another name"


def add(
    session: Session,
    name: str,
    *,
    content: bytes,
    input_sha256: str,
    label: str,
    request_id: str | None = None,
    version: int | None = None,
    predicted: str | None = None,
) -> tuple[Feedback, str | None]:
    """Store the label of an input; return the row and its earlier label.

    The last label of an input counts. Raises `Conflict` beyond `MAX_ROWS` and `MAX_BYTES`.
    """
    lock(session, f"feedback {name}")
    query = select(Feedback).where(Feedback.model_name == name, Feedback.input_sha256 == input_sha256)
    row = session.scalar(query.execution_options(populate_existing=True))
    if row is not None:
        previous = row.label
        if previous != label or (request_id is not None and row.request_id is None):
            answer = {"request_id": request_id, "version": version, "predicted": predicted} if request_id else {}
            values = {"label": label, "updated_at": clock(), **answer}
            session.execute(update(Feedback).where(Feedback.id == row.id).values(**values))
            session.refresh(row)
        return row, previous
    rows, size = measure(session, name)
    if rows >= MAX_ROWS:
        raise Conflict(f"{name} has {MAX_ROWS:,} rows of feedback, the limit; {_LIMIT_HINT}")
    if size + len(content) > MAX_BYTES:
        raise Conflict(
            f"the inputs with feedback of {name} have {size:,} bytes, and one of {len(content):,} would exceed the "
            f"limit of {MAX_BYTES:,}; {_LIMIT_HINT}"
        )
    row = Feedback(
        id=new_id("fbk"),
        model_name=name,
        input=content,
        input_sha256=input_sha256,
        bytes=len(content),
        label=label,
        request_id=request_id,
        version=version,
        predicted=predicted,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return row, None


def measure(session: Session, name: str) -> tuple[int, int]:
    """Return the rows of feedback of a model, and the bytes of their inputs."""
    query = select(func.count(), func.coalesce(func.sum(Feedback.bytes), 0)).where(Feedback.model_name == name)
    rows, size = session.execute(query).one()
    return rows, int(size)


def count(session: Session, name: str, *, after: str = "") -> int:
    """Return the number of rows of feedback of a model with ids after this one."""
    query = select(func.count()).select_from(Feedback)
    return session.scalar(query.where(Feedback.model_name == name, Feedback.id > after)) or 0


def last_id(session: Session, name: str) -> str:
    """Return the id of the newest row of feedback, or ""."""
    return session.scalar(select(func.max(Feedback.id)).where(Feedback.model_name == name)) or ""


def hashes(session: Session, name: str) -> set[str]:
    """Return the hashes of all inputs that have feedback."""
    return set(session.scalars(select(Feedback.input_sha256).where(Feedback.model_name == name)))


def rows(session: Session, name: str, *, until: str) -> Iterator[tuple[str, str, bytes]]:
    """Yield hash, label and input of the feedback up to an id, the oldest first."""
    last = ""
    while True:
        query = select(Feedback.id, Feedback.input_sha256, Feedback.label, Feedback.input)
        query = query.where(Feedback.model_name == name, Feedback.id > last, Feedback.id <= until)
        page = session.execute(query.order_by(Feedback.id).limit(ROWS_PER_PAGE)).all()
        for _, input_sha256, label, content in page:
            yield input_sha256, label, content
        if len(page) < ROWS_PER_PAGE:
            return
        last = page[-1][0]


def label_counts(session: Session, name: str, *, until: str) -> dict[str, int]:
    """Return the rows of feedback by label, up to an id."""
    query = select(Feedback.label, func.count()).where(Feedback.model_name == name, Feedback.id <= until)
    return {row[0]: row[1] for row in session.execute(query.group_by(Feedback.label))}


def live_accuracy(session: Session, name: str, version: int, *, since: str = "") -> tuple[int, int]:
    """Return the number of answers of a version with feedback, and of the right ones.

    Only feedback with ids after `since` counts.
    """
    is_right = Feedback.predicted == Feedback.label
    query = select(func.count(), func.count().filter(is_right)).where(
        Feedback.model_name == name, Feedback.version == version, Feedback.id > since
    )
    total, right = session.execute(query).one()
    return total, right


def recent(session: Session, name: str, *, limit: int) -> Sequence[Feedback]:
    """List the newest rows of feedback, without their inputs."""
    query = select(Feedback).where(Feedback.model_name == name).order_by(Feedback.id.desc()).limit(limit)
    return session.scalars(query).all()
