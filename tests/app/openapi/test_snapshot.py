"""The committed document is the service's own, and the Python client agrees with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from plinth.client import types
from tests.support.repository import REPOSITORY
from tools.build_openapi import text

SNAPSHOT = REPOSITORY / "docs" / "reference" / "openapi.json"
SCHEMA_OF = {
    types.Alias: "Alias",
    types.Headline: "JobHeadline",
    types.SplitVersion: "SplitVersion",
    types.TrafficSplit: "TrafficSplit",
    types.Checkpoint: "Checkpoint",
    types.Dataset: "Dataset",
    types.DatasetReport: "DatasetReport",
    types.DriftState: "DriftState",
    types.EvidencePoint: "EvidencePoint",
    types.Feedback: "Feedback",
    types.FeedbackDataset: "FeedbackDataset",
    types.LabelCandidate: "LabelCandidate",
    types.LabelCandidates: "LabelCandidates",
    types.VersionTraffic: "VersionTraffic",
    types.Watch: "Watch",
    types.WatchEvent: "WatchEvent",
    types.WatchState: "WatchState",
    types.DeletedPart: "DeletedPart",
    types.DiskCleaned: "DiskCleaned",
    types.DiskPart: "DiskPart",
    types.DiskSpace: "DiskSpace",
    types.Event: "Event",
    types.ErrorInfo: "JobError",
    types.Finding: "ReportItem",
    types.FindingRow: "FindingRow",
    types.Fix: "Fix",
    types.Job: "Job",
    types.JobOwner: "JobOwner",
    types.Key: "NewKey",
    types.License: "License",
    types.Lineage: "Lineage",
    types.LogLine: "LogLine",
    types.Mistake: "Mistake",
    types.Model: "Model",
    types.ModelEvaluation: "ModelEvaluation",
    types.ModelReference: "ModelVersionReference",
    types.ModelVersion: "ModelVersionInFull",
    types.PackageFile: "PackageFile",
    types.Prediction: "Prediction",
    types.Progress: "Progress",
    types.Webhook: "NewWebhook",
    types.Delivery: "Delivery",
}
RESULTS = [
    value
    for value in vars(types).values()
    if dataclasses.is_dataclass(value) and isinstance(value, type) and value.__module__ == types.__name__
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(SNAPSHOT.read_text())


def test_the_committed_document_is_what_the_service_answers(home: Path) -> None:
    assert SNAPSHOT.read_text() == text(), "run `make openapi` and commit docs/reference/openapi.json"


def test_every_result_of_the_client_has_a_schema() -> None:
    assert set(RESULTS) == set(SCHEMA_OF)


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.__name__)
def test_every_field_of_a_client_result_exists_in_its_schema(result: type, document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"][SCHEMA_OF[result]]
    hints = get_type_hints(result)
    for field in dataclasses.fields(result):
        assert field.name in schema["properties"], field.name
        always_there = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        assert not always_there or field.name in schema["required"], f"{field.name} may be absent"
        accepted = json_types(document, schema["properties"][field.name])
        assert accepted <= client_types(hints[field.name]), field.name


def json_types(document: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    """The JSON types that a schema allows; empty where it allows any."""
    if "$ref" in schema:
        return json_types(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return set().union(*(json_types(document, option) for option in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return {"string"}
    return {schema["type"]} if "type" in schema else set()


def client_types(hint: Any) -> set[str]:
    """The JSON types from which the client makes a value of this annotation."""
    if hint is Any:
        return {"string", "integer", "number", "boolean", "array", "object", "null"}
    names = {str: "string", int: "integer", bool: "boolean", type(None): "null"}
    if hint in names:
        return {names[hint]}
    if hint is float:
        return {"integer", "number"}
    if hint is types.datetime:
        return {"string"}
    if dataclasses.is_dataclass(hint):
        return {"object"}
    origin = get_origin(hint)
    if origin is types.Sequence:
        return {"array"}
    if origin is types.Mapping:
        return {"object"}
    return set().union(*(client_types(option) for option in get_args(hint)))
