"""What can be trained."""

from __future__ import annotations

from fastapi import APIRouter

from app.dependencies import CatalogDep
from ml.spec.catalog import Catalog

router = APIRouter(prefix="/api/v1/catalog", tags=["catalog"])


@router.get("")
async def read_catalog(catalog: CatalogDep) -> Catalog:
    """Every task, architecture, objective, tuning and format, with the schema of its options; and what fits what."""
    return catalog
