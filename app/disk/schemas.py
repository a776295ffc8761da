"""Schemas of disk space."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from ml.config import Config
from store import disk

if TYPE_CHECKING:
    from store.disk import DiskUse

DiskKindName = StrEnum("DiskKindName", {name: name for name in disk.KINDS})  # type: ignore[misc]  # named by `KINDS`


class DiskPart(BaseModel):
    """Space that one kind of content takes."""

    kind: DiskKindName
    summary: str
    count: int = Field(description="Number of items: datasets, models, files, or jobs that have events.")
    bytes: int
    setting: str | None = Field(description="Variable that sets the retention. Null: deleted by its owner alone.")
    retention_days: float | None = Field(description="Days after which an item that is of no use is deleted.")
    expired_count: int = Field(description="Items that the next clean-up deletes.")
    expired_bytes: int

    @classmethod
    def of(cls, use: DiskUse) -> Self:
        """Convert a measurement."""
        kind = disk.KINDS[use.kind]
        return cls(
            kind=DiskKindName(use.kind),
            summary=kind.summary,
            count=use.count,
            bytes=use.bytes,
            setting=f"PLINTH_{kind.setting.upper()}" if kind.setting else None,
            retention_days=disk.retention_days(kind),
            expired_count=use.expired_count,
            expired_bytes=use.expired_bytes,
        )


class DiskSpace(BaseModel):
    """Space of the service by kind, and the free space of the disk."""

    object: Literal["disk"] = "disk"
    free_bytes: int = Field(description="Free space on the disk of the home folder.")
    total_bytes: int
    kinds: list[DiskPart]


_EXAMPLES: list[Any] = [{}, {"kinds": ["checkpoints", "exports"], "older_than_days": 0}]


class DiskClean(Config):
    """A clean-up: without fields, of all that has exceeded its retention."""

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    kinds: list[DiskKindName] | None = Field(None, min_length=1, description="Only these kinds; null: all.")
    older_than_days: float | None = Field(
        None, ge=0, le=36_500, description="Days that replace the retention of the settings; 0: all that is of no use."
    )


class DeletedPart(BaseModel):
    """Items of one kind that were deleted."""

    kind: DiskKindName
    count: int
    bytes: int


class DiskCleaned(BaseModel):
    """Result of a clean-up."""

    object: Literal["disk_cleaned"] = "disk_cleaned"
    deleted: list[DeletedPart]
    bytes: int = Field(description="Bytes of all kinds together.")
