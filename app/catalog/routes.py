"""Route of the catalog: what can be trained."""

from __future__ import annotations

from fastapi import APIRouter

from app.dependencies import CatalogDep
from ml.spec.catalog import Catalog

router = APIRouter(prefix="/api/v1/catalog", tags=["catalog"])


@router.get("")
async def read_catalog(catalog: CatalogDep) -> Catalog:
    """List every task, architecture, objective, tuning method, search strategy and format.

    Each entry has the schema of its options, and says what it can be combined with.
    """
    return catalog
