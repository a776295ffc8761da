"""Conversion of served models to responses, without loading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.models.schemas import LatencyQuantiles
from app.models.service import alias_versions
from app.predict.schemas import ServedModel, Serving

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.serving.types import LoadedModel
    from ml.spec.catalog import Catalog
    from store.tables import Model as ModelRow


def to_served_model(session: Session, row: ModelRow, catalog: Catalog, serving: Serving | None) -> ServedModel:
    """Describe a version by the inputs and outputs of its task.

    Its own signature, with its output to an example, is at its version.
    """
    entry = catalog.tasks.get(row.task) if row.task else None
    input_schema, output_schema = (
        (entry.input_schema, entry.output_schema) if entry else _base_schemas(row.architectures, catalog)
    )
    return ServedModel(
        model=row.name,
        version=row.version,
        task=row.task,
        aliases=alias_versions(session, row.name),
        input_schema=input_schema,
        output_schema=output_schema,
        # Fields that come from the training data are in the signature of the version alone.
        example=(
            {"input": entry.example_input, "output": entry.example_output}
            if entry and entry.input_schema.get("properties")
            else None
        ),
        serving=serving,
    )


def _base_schemas(architectures: dict[str, Any], catalog: Catalog) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schemas of a base model: what its backbone reads, and an embedding."""
    # Imported when first needed, like everything that reads images.
    from ml.inference.embedding_adapter import embedding_output
    from ml.wire import INPUT_OF

    slots = [entry.slots for entry in catalog.tasks.values()] + [entry.slots for entry in catalog.objectives.values()]
    encoders = {slot: entry.encoder for entries in slots for slot, entry in entries.items()}
    names = [encoders[slot] for slot in architectures if encoders.get(slot) in INPUT_OF]
    input_schema = INPUT_OF[names[0]].model_json_schema() if names else {}
    return input_schema, embedding_output(names).model_json_schema()


def to_serving(model: LoadedModel) -> Serving:
    """Describe the state and the counters of a loaded model."""
    batcher, stats, record = model.batcher, model.batcher.stats, model.record
    p50, p90, p99 = (record.latency.quantile(fraction) for fraction in (0.5, 0.9, 0.99))
    return Serving(
        engine=model.predictor.engine,
        bytes=model.bytes,
        waiting=batcher.waiting,
        expected_wait_seconds=batcher.expected_seconds,
        batches=stats.batches,
        inputs=stats.rows,
        largest_batch=stats.largest_batch,
        refused=stats.refused,
        dropped=stats.dropped,
        latency_seconds=LatencyQuantiles(p50=p50, p90=p90, p99=p99),
        hits=record.hits,
        loads=record.loads,
        evictions=record.evictions,
    )
