"""Uploads as clients see them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel


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
