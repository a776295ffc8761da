"""Schemas of uploads."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.dependencies import NAME

UploadId = Annotated[str, Field(pattern=NAME, max_length=100)]


class Upload(BaseModel):
    """A resumable upload."""

    id: str
    object: Literal["upload"] = "upload"
    filename: str
    offset: int = Field(description="Number of bytes that have arrived.")
    length: int = Field(description="Total size in bytes.")
    complete: bool
    expires_at: datetime = Field(description="Time at which the upload is deleted unless it is complete.")
    created_at: datetime
