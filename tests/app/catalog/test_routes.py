"""The catalog over HTTP, and its names in the API reference."""

from __future__ import annotations

from starlette.testclient import TestClient

from ml.spec.catalog import Catalog


def test_the_whole_catalog_is_served(client: TestClient) -> None:
    response = client.get("/api/v1/catalog")
    assert response.status_code == 200
    assert response.json() == Catalog.load().model_dump(mode="json")


def test_an_unknown_parameter_is_refused_and_not_ignored_as_a_filter(client: TestClient) -> None:
    response = client.get("/api/v1/catalog?task=image_classification")
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "task"


def test_names_of_tasks_and_formats_are_enums_of_the_reference(client: TestClient) -> None:
    schemas, catalog = client.get("/openapi.json").json()["components"]["schemas"], Catalog.load()
    assert schemas["Task"]["enum"] == sorted(catalog.tasks)
    assert schemas["DatasetFormat"]["enum"] == sorted(catalog.formats)
