"""What is served, told without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.models.service import alias_versions
from app.predict.schemas import LatencyQuantiles, ServedModel, Serving

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.serving.types import LoadedModel
    from ml.spec.catalog import Catalog
    from store.tables import Model as ModelRow


def to_served_model(session: Session, row: ModelRow, catalog: Catalog, serving: Serving | None) -> ServedModel:
    """A version and what its kind is asked; its own signature, with the answer it gives, is under its versions."""
    entry = catalog.tasks.get(row.task) if row.task else None
    input_schema, output_schema = (
        (entry.input_schema, entry.output_schema) if entry else _of_base(row.architectures, catalog)
    )
    return ServedModel(
        model=row.name,
        version=row.version,
        task=row.task,
        aliases=alias_versions(session, row.name),
        input_schema=input_schema,
        output_schema=output_schema,
        example={"input": entry.example_input, "output": entry.example_output} if entry else None,
        serving=serving,
    )


def _of_base(architectures: dict[str, Any], catalog: Catalog) -> tuple[dict[str, Any], dict[str, Any]]:
    """A base model answers the embedding of whatever its backbone reads."""
    # Imported when first needed, like everything that reads pictures.
    from ml.inference.predictor import EmbeddingOutput
    from ml.wire import INPUT_OF

    slots = [entry.slots for entry in catalog.tasks.values()] + [entry.slots for entry in catalog.objectives.values()]
    encoders = {slot: entry.encoder for each in slots for slot, entry in each.items()}
    kinds = [INPUT_OF[encoders[slot]] for slot in architectures if encoders.get(slot) in INPUT_OF]
    return (kinds[0].model_json_schema() if kinds else {}), EmbeddingOutput.model_json_schema()


def to_serving(loaded: LoadedModel) -> Serving:
    """What the queue before a loaded model has seen."""
    batcher, figures, record = loaded.batcher, loaded.batcher.stats, loaded.record
    p50, p90, p99 = (record.latency.quantile(share) for share in (0.5, 0.9, 0.99))
    return Serving(
        engine=loaded.predictor.engine,
        bytes=loaded.bytes,
        waiting=batcher.waiting,
        expected_wait_seconds=batcher.expected_seconds,
        batches=figures.batches,
        inputs=figures.rows,
        largest_batch=figures.largest_batch,
        refused=figures.refused,
        dropped=figures.dropped,
        latency_seconds=LatencyQuantiles(p50=p50, p90=p90, p99=p99),
        hits=record.hits,
        loads=record.loads,
        evictions=record.evictions,
    )
