"""Uploads as clients see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.dependencies import NAME

UploadId = Annotated[str, Field(pattern=NAME, max_length=100)]


class Upload(BaseModel):
    """Bytes on their way. `offset` of `length` bytes have arrived."""

    id: str
    object: Literal["upload"] = "upload"
    filename: str
    offset: int
    length: int
    complete: bool
    expires_at: datetime
    created_at: datetime
