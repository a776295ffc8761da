"""OpenAPI links: from the response that creates something to the operations that read it."""

from __future__ import annotations

from typing import Any, Final

Links = dict[str, dict[str, Any]]


def _link(operation: str, description: str, **parameters: str) -> dict[str, Any]:
    expressions = {name: f"$response.body#/{pointer}" for name, pointer in parameters.items()}
    return {"operationId": operation, "parameters": expressions, "description": description}


DATASET: Final[Links] = {
    "dataset": _link("read_dataset", "The state of the dataset: poll it until it is final.", dataset="id"),
    "report": _link("read_dataset_report", "Every problem in the data.", dataset="id"),
    "preview": _link("preview_dataset", "The first rows, once the dataset is ready.", dataset="id"),
}
JOB: Final[Links] = {
    "job": _link("read_job", "The state of the job: poll it until it is final.", job_id="id"),
    "events": _link("read_job_events", "What has happened so far, or a stream of it.", job_id="id"),
    "metrics": _link("read_job_metrics", "The curves of every metric.", job_id="id"),
    "logs": _link("read_job_logs", "The log lines of the job.", job_id="id"),
    "report": _link("read_job_report", "The evaluation, once the job has succeeded.", job_id="id"),
    "cancel": _link("cancel_job", "End the job and keep nothing.", job_id="id"),
    "retry": _link("retry_job", "Start the job again, if it failed or was canceled.", job_id="id"),
    "clone": _link("clone_job", "Start a job like this one, with changes.", job_id="id"),
    "delete": _link("delete_job", "Delete the job, once it has ended.", job_id="id"),
}
UPLOAD: Final[Links] = {
    "upload": _link("read_upload", "How much has arrived, as JSON.", upload_id="id"),
    "offset": _link("read_upload_offset", "How much has arrived, as tus headers.", upload_id="id"),
    "append": _link("append_to_upload", "Send the next piece.", upload_id="id"),
}
KEY: Final[Links] = {
    "update": _link("update_key", "Change the limits of the key.", key_id="id"),
    "rotate": _link("rotate_key", "Give the key another secret.", key_id="id"),
    "revoke": _link("revoke_key", "Revoke the key.", key_id="id"),
}
WEBHOOK: Final[Links] = {
    "webhook": _link("read_webhook", "The webhook, without its secret.", webhook_id="id"),
    "test": _link("test_webhook", "Send a test event.", webhook_id="id"),
    "deliveries": _link("list_webhook_deliveries", "What was sent, and how it was received.", webhook_id="id"),
}
DELIVERY: Final[Links] = {
    "delivery": _link("read_webhook_delivery", "How it was received.", webhook_id="webhook", delivery_id="id"),
}
ALIAS: Final[Links] = {
    "alias": _link("read_model_alias", "The alias with its history.", name="model", alias="alias"),
    "version": _link("read_model_version", "The version that it names.", name="model", version="version"),
}
