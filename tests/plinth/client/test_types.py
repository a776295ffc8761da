"""Conversion of the JSON of the service to typed results."""

from datetime import UTC, datetime

from plinth.client.errors import APIError
from plinth.client.types import DatasetReport, Job, ModelReference, build

JOB = {
    "id": "job_1",
    "object": "job",
    "kind": "finetune",
    "state": "failed",
    "model": {"name": "digits", "version": 3},
    "progress": {"epoch": 1, "percent": 12.5, "a_field_of_next_year": True},
    "error": {"code": "diverged", "message": "The loss is not a number.", "hint": "Lower the learning rate."},
    "created_at": "2026-11-23T20:00:00Z",
    "something_new": {"deep": []},
}


def test_documents_become_typed_values_all_the_way_down() -> None:
    job = build(Job, JOB)
    assert job.model == ModelReference(name="digits", version=3)
    assert job.progress.percent == 12.5
    assert job.error is not None
    assert job.error.hint == "Lower the learning rate."
    assert job.created_at == datetime(2026, 11, 23, 20, tzinfo=UTC)
    assert job.is_final


def test_fields_of_a_newer_service_are_ignored() -> None:
    assert build(Job, {**JOB, "progress": {"steps": 4, "new": 1}}).progress.steps == 4


def test_lists_of_documents_become_lists_of_values() -> None:
    document = {"state": "rejected", "errors": [{"code": "bad", "count": 2, "sample": [{"file": "a.csv", "row": 41}]}]}
    (finding,) = build(DatasetReport, document).errors
    assert finding.as_mapping()["row"] == 41


def test_an_error_has_one_line_for_each_finding() -> None:
    error = APIError(
        422,
        {
            "detail": "The spec is not possible.",
            "errors": [
                {"code": "unknown", "path": "architecture", "message": "There is no 'cn'.", "hint": "Known: cnn, vae."},
                {"code": "bad_label", "file": "train.csv", "row": 41, "message": "'cta' is not a class", "count": 3},
            ],
        },
    )
    assert str(error).splitlines() == [
        "The request has 2 problems:",
        "  architecture: There is no 'cn'. - Known: cnn, vae.",
        "  3 x train.csv, row 41: 'cta' is not a class",
    ]
