"""Rows of uploads: create, complete, delete, expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete as delete_rows
from sqlalchemy import select, update

from store.errors import NotFound
from store.ids import new_id
from store.tables import Upload, clock

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


def create(session: Session, *, length: int, filename: str, metadata: str, expires_at: datetime) -> Upload:
    """Create the row of an upload without any bytes yet."""
    upload = Upload(id=new_id("upl"), length=length, filename=filename, metadata_=metadata, expires_at=expires_at)
    session.add(upload)
    session.flush()
    session.refresh(upload)
    return upload


def get(session: Session, upload_id: str) -> Upload:
    """Return an upload; raises `NotFound`."""
    upload = session.get(Upload, upload_id, populate_existing=True)
    if upload is None:
        raise NotFound("upload", upload_id)
    return upload


def complete(session: Session, upload_id: str) -> None:
    """Mark an upload as complete: all its bytes are among the blobs."""
    session.execute(update(Upload).where(Upload.id == upload_id).values(completed_at=clock()))


def delete(session: Session, upload_id: str) -> None:
    """Delete the row of an upload."""
    session.execute(delete_rows(Upload).where(Upload.id == upload_id))


def expire(session: Session) -> list[str]:
    """Delete the rows of uploads that expired before completion; return their ids."""
    expired = session.scalars(select(Upload.id).where(Upload.completed_at.is_(None), Upload.expires_at < clock())).all()
    session.execute(delete_rows(Upload).where(Upload.id.in_(expired)))
    return list(expired)
