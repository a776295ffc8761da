"""Proposes registered base models that a fine-tuning could start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.jobs.references import read_manifest
from ml.data.dataset import DatasetSummary
from ml.spec.check import check
from ml.spec.schema import Finetune
from store import models
from store.tables import Dataset

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.jobs.resolved_spec import ResolvedSpec
    from ml.spec.catalog import Catalog
    from store.blobs import Blobs

#: Newest models that are looked at, and base models that are proposed.
MAX_MODELS: Final = 50
MAX_PROPOSALS: Final = 3
#: Fields of a request that say how to build a network, which a base model brings.
_OWN_NETWORK: Final = ("architecture", "architectures", "encoders")


def propose_bases(session: Session, resolved: ResolvedSpec, *, catalog: Catalog, blobs: Blobs) -> list[str]:
    """Return `name@version` of base models that fit a fine-tuning from scratch, newest first.

    A base model was trained without a task. Empty for other jobs, and where the request names an architecture.
    """
    request = resolved.request or {}
    if resolved.kind != "finetune" or request.get("start_from") or any(request.get(name) for name in _OWN_NETWORK):
        return []
    dataset = session.get(Dataset, resolved.dataset_id)
    if dataset is None or dataset.state != "ready":
        return []
    summary = DatasetSummary.model_validate(dataset.summary)
    proposals: list[str] = []
    for row in models.listing(session, limit=MAX_MODELS, cursor=None).items:
        if row.task is not None or len(proposals) == MAX_PROPOSALS:
            continue
        reference = f"{row.name}@{row.version}"
        spec = Finetune.model_validate({**request, "start_from": reference})
        manifest = read_manifest(row, blobs)
        # A base model may lack a slot of the task, which then starts from scratch, but not all of them.
        brings_a_slot = spec.task is not None and manifest.encoders.keys() & catalog.tasks[spec.task.name].slots.keys()
        if brings_a_slot and not check(spec, catalog, summary, manifest):
            proposals.append(reference)
    return proposals
