"""Description of a model for clients of text-embeddings-inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.huggingface.schemas import TextEmbeddingsInfo
from app.predict.schemas import MAX_INPUTS
from plinth import __version__

if TYPE_CHECKING:
    from app.serving.types import LoadedModel


def to_info(model: LoadedModel) -> TextEmbeddingsInfo:
    """Return what clients of text-embeddings-inference ask of a model before they send texts."""
    labels = model.predictor.manifest.labels
    if labels:
        by_id = {str(index): label for index, label in enumerate(labels)}
        by_label = {label: index for index, label in enumerate(labels)}
        kind: dict[str, Any] = {"classifier": {"id2label": by_id, "label2id": by_label}}
    else:
        kind = {"embedding": {"pooling": "model"}}
    length = model.predictor.max_tokens
    return TextEmbeddingsInfo.model_validate(
        {
            "model_id": f"{model.served.name}@{model.served.version}",
            "model_sha": model.served.manifest_sha256,
            "model_dtype": "float32",
            "model_type": kind,
            "max_concurrent_requests": MAX_INPUTS,
            "max_input_length": length,
            "max_batch_tokens": length * MAX_INPUTS,
            "max_client_batch_size": MAX_INPUTS,
            "auto_truncate": True,
            "tokenization_workers": 1,
            "version": __version__,
        }
    )
