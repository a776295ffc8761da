"""Datasets over HTTP: creation from a form, reports, previews."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.datasets.service import mix_positions
from ml.data.importing.importer import import_dataset
from ml.tasks import TASKS
from store import datasets, jobs
from store.blobs import blobs
from store.database import transaction
from store.jobs import JobFilter, claim, finish_validation, listing
from store.tables import Job
from tests.support.factories import claim_job, png, queue_job, register, shades


def upload(client: TestClient, *, name: str = "digits", headers: dict[str, str] | None = None, **fields: str):
    files = [("file", ("images.gz", b"images")), ("file", ("labels.gz", b"labels"))]
    return client.post("/api/v1/datasets", files=files, data={"name": name, **fields}, headers=headers)


def finish_queued_validation(*, ready: bool, summary: dict | None = None, report: dict | None = None) -> None:
    """End the validation, as a worker does."""
    with transaction() as session:
        (job,) = listing(session, matching=JobFilter(states=["queued"], kinds=["validate"]), limit=1, cursor=None).items
        job_claim = claim(session, job.id, worker="tester")
        assert job_claim is not None
        finish_validation(
            session,
            job_claim,
            ready=ready,
            report=report or {},
            summary=summary,
            key=f"datasets/{job.dataset_id}",
            size=10,
        )


def test_files_in_a_form_become_a_dataset(client: TestClient, home: Path) -> None:
    response = upload(client, task="image_classification", columns='{"label": 2}', splits="", format="", quoting="none")
    assert response.status_code == 202, response.text
    dataset = response.json()
    assert client.get(response.headers["location"]).json() == dataset
    (job,) = client.get("/api/v1/jobs?kind=validate").json()["data"]
    assert (job["spec"]["columns"], job["spec"]["splits"]) == ({"label": 2}, None)
    assert job["spec"]["quoting"] == "none"
    stored = []
    for source in job["spec"]["sources"]:
        with blobs().open(source["key"]) as file:
            stored.append((source["filename"], file.read()))
    assert stored == [("images.gz", b"images"), ("labels.gz", b"labels")]
    assert list((home / "incoming").iterdir()) == []


def test_a_name_again_makes_the_next_version(client: TestClient) -> None:
    upload(client)
    assert upload(client).json()["version"] == 2
    assert client.get("/api/v1/datasets/digits@1").json()["version"] == 1
    assert [dataset["version"] for dataset in client.get("/api/v1/datasets").json()["data"]] == [2, 1]


def test_the_paths_of_a_folder_that_a_browser_sends_are_kept(client: TestClient) -> None:
    names = ["pets/golden retriever/1.png", "pets/cat/1.png", "../../1.png", "labels.csv"]
    files = [("file", (name, b"x")) for name in names]
    answer = client.post("/api/v1/datasets", files=files, data={"name": "pets"})
    assert answer.status_code == 202, answer.text
    [job] = client.get("/api/v1/jobs?kind=validate").json()["data"]
    sources = job["spec"]["sources"]
    assert [source.get("path") for source in sources] == [*names[:2], None, None]
    assert [source["filename"] for source in sources] == ["1.png", "1.png", "1.png", "labels.csv"]


def test_the_same_form_sent_twice_makes_one_dataset(client: TestClient, home: Path) -> None:
    first, second = (upload(client, headers={"Idempotency-Key": "once"}) for _ in range(2))
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert upload(client, name="other", headers={"Idempotency-Key": "once"}).status_code == 422
    assert len(client.get("/api/v1/datasets").json()["data"]) == 1
    assert len(list((home / "blobs" / "uploads").iterdir())) == 2


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "../x"}, ["name"]),
        ({"name": "a", "task": "telepathy"}, ["task"]),
        ({"name": "a", "task": "telepathy", "format": "scroll"}, ["task", "format"]),
        ({"name": "a", "columns": '{"label": []}'}, ["columns.label", "columns.label"]),
        ({"name": "a", "columns": "label"}, ["columns"]),
        ({"name": "a", "quoting": "single"}, ["quoting"]),
        ({"name": "a", "colums": "{}"}, ["colums"]),
    ],
)
def test_every_fault_of_a_form_is_reported_at_once(
    client: TestClient, home: Path, fields: dict[str, str], paths: list[str]
) -> None:
    response = client.post("/api/v1/datasets", files={"file": ("a.zip", b"x")}, data=fields)
    assert response.status_code == 422, response.text
    assert [error["path"] for error in response.json()["errors"]] == paths
    assert client.get("/api/v1/datasets").json()["data"] == []
    assert list((home / "incoming").iterdir()) == []


@pytest.mark.parametrize(("upload", "path"), [([], "upload"), (["../x"], "upload.0"), (1.5, "upload")])
def test_a_path_points_into_the_request(client: TestClient, upload: object, path: str) -> None:
    errors = client.post("/api/v1/datasets", json={"name": "a", "upload": upload}).json()["errors"]
    assert {error["path"] for error in errors} <= {"upload", path}


def test_an_unknown_task_lists_the_existing_ones(client: TestClient) -> None:
    response = upload(client, task="telepathy")
    assert "image_classification" in response.json()["detail"]


def test_a_misspelled_field_and_a_misspelled_task_are_reported_at_once(client: TestClient) -> None:
    body = {"nam": "digits", "upload": "upl_1", "task": "image_clasification"}
    errors = client.post("/api/v1/datasets", json=body).json()["errors"]
    assert {item["path"]: item["hint"] for item in errors} == {
        "nam": "Did you mean 'name'?",
        "task": "Did you mean 'image_classification'?",
    }
    assert errors[0]["expected"] == "append, columns, format, license, name, quoting, splits, task, upload"


def test_an_unknown_dataset_lists_the_existing_ones(client: TestClient) -> None:
    upload(client)
    detail = client.get("/api/v1/datasets/digit").json()["detail"]
    assert detail == "there is no dataset 'digit'; known: digits. GET /api/v1/datasets lists all."


def test_a_form_without_a_file_is_rejected(client: TestClient) -> None:
    response = client.post("/api/v1/datasets", files={"name": (None, "digits")})
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "file"


def test_a_report_lists_every_problem(client: TestClient) -> None:
    upload(client)
    assert client.get("/api/v1/datasets/digits/report").json()["state"] == "importing"
    problems = {
        "rows": 3,
        "accepted": 2,
        "rejected": 1,
        "errors": [
            {
                "code": "corrupt_image",
                "count": 1,
                "severity": "error",
                "hint": "Send it again.",
                "sample": [{"file": "a.zip", "row": 3, "found": "12 bytes", "expected": "an image"}],
            }
        ],
    }
    finish_queued_validation(ready=False, report=problems)
    dataset = client.get("/api/v1/datasets/digits").json()
    assert dataset["state"] == "rejected"
    assert "corrupt_image" in dataset["error"]["message"]
    report = client.get("/api/v1/datasets/digits/report").json()
    assert report["state"] == "rejected"
    assert report["errors"][0]["sample"][0]["row"] == 3
    preview = client.get("/api/v1/datasets/digits/preview")
    assert preview.status_code == 409


def test_a_name_deletes_all_its_versions_and_a_reference_one(client: TestClient) -> None:
    for _ in range(3):
        upload(client)
        finish_queued_validation(ready=True, summary={"format": "idx", "columns": {}, "splits": {"train": 3}})
    assert client.delete("/api/v1/datasets/digits@2").status_code == 204
    listed = client.get("/api/v1/datasets?name=digits").json()["data"]
    assert [dataset["version"] for dataset in listed] == [3, 1]
    assert client.get("/api/v1/datasets?name=letters").json()["data"] == []
    matching = client.get(f"/api/v1/datasets?id_prefix={listed[0]['id'][:-2]}").json()["data"]
    assert listed[0] in matching
    job_id = queue_job(dataset_id=listed[0]["id"])
    assert client.delete("/api/v1/datasets/digits").status_code == 409
    assert client.get("/api/v1/datasets/digits@1").status_code == 200
    client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert client.delete("/api/v1/datasets/digits").status_code == 204
    assert client.get("/api/v1/datasets").json()["data"] == []


def test_a_dataset_that_is_needed_is_not_deleted(client: TestClient) -> None:
    dataset_id = upload(client).json()["id"]
    assert client.delete("/api/v1/datasets/digits").status_code == 409
    finish_queued_validation(
        ready=True, summary={"format": "idx", "columns": {"image": "image"}, "splits": {"train": 3}}
    )
    dataset = client.get("/api/v1/datasets/digits").json()
    assert (dataset["state"], dataset["rows"], dataset["splits"]) == ("ready", 3, {"train": 3})
    job_id = queue_job(dataset_id=dataset_id)
    assert job_id in client.delete("/api/v1/datasets/digits").json()["detail"]
    client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert client.delete("/api/v1/datasets/digits").status_code == 204
    assert client.get("/api/v1/datasets/digits").status_code == 404


@pytest.mark.parametrize("path", ["nothing", "digits@7", "ds_1", "a@b"])
def test_an_unknown_dataset_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(f"/api/v1/datasets/{path}").status_code == 404


@pytest.mark.parametrize("kind", ["dataset", "job", "model"])
def test_the_response_about_an_unknown_name_names_the_list(client: TestClient, kind: str) -> None:
    detail = client.get(f"/api/v1/{kind}s/nothing").json()["detail"]
    assert detail == f"there is no {kind} 'nothing'. GET /api/v1/{kind}s lists all."
    assert client.get(f"/api/v1/{kind}s").status_code == 200


def test_the_next_page_continues_where_the_previous_one_ended(client: TestClient) -> None:
    for number in range(5):
        upload(client, name=f"set-{number}")
    first = client.get("/api/v1/datasets?limit=2").json()
    upload(client, name="newer")
    second = client.get("/api/v1/datasets", params={"cursor": first["next_cursor"], "limit": 200}).json()
    assert [dataset["name"] for dataset in first["data"] + second["data"]] == [
        f"set-{number}" for number in (4, 3, 2, 1, 0)
    ]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


@pytest.mark.parametrize("rows", [2, 3, 10, 48, 1000])
def test_mixed_positions_are_all_rows_and_spread_over_them(rows: int) -> None:
    mixed = mix_positions(range(rows + 1), rows)
    assert sorted(mixed) == list(range(rows + 1))
    # Any ten in a row are of both halves, in which rows stored class by class would be of different classes.
    for start in range(0, rows - 10, 10):
        assert 2 <= sum(position < rows / 2 for position in mixed[start : start + 10]) <= 8


def test_a_preview_has_inputs_for_predict_and_their_targets(client: TestClient, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shades.zip", "w") as archive:
        for number in range(12):
            for label, brightness in (("dark", number), ("light", 240 + number)):
                for split in ("train", "test"):
                    shift = 12 if split == "test" else 0
                    archive.writestr(f"{split}/{label}/{number}.png", png(abs(brightness - shift), side=8 + number % 2))
    report = import_dataset([tmp_path / "shades.zip"], tmp_path / "dataset", tasks=TASKS)
    assert report.summary is not None
    dataset_id = upload(client, name="shades").json()["id"]
    blobs().put_tree(f"datasets/{dataset_id}", tmp_path / "dataset")
    finish_queued_validation(ready=True, summary=report.summary.model_dump(mode="json"))
    preview = client.get("/api/v1/datasets/shades/preview?limit=3").json()
    assert (preview["split"], len(preview["data"])) == ("train", 3)
    register(shades(tmp_path / "package"), name="shades")
    response = client.post("/predict/shades", json={"inputs": [row["input"] for row in preview["data"]]})
    assert [output["label"] for output in response.json()["outputs"]] == [row["target"] for row in preview["data"]]
    mixed = client.get("/api/v1/datasets/shades/preview?limit=4&order=mixed").json()["data"]
    assert {row["target"] for row in mixed} == {"dark", "light"}
    again = client.get(f"/api/v1/datasets/shades/preview?limit=1&start={mixed[1]['index']}").json()["data"]
    assert again == [mixed[1]]
    plan = {"kind": "finetune", "dataset": "shades", "task": "image_classification", "model": "planned"}
    (note,) = client.post("/api/v1/jobs?validate_only=true", json=plan).json()["notes"]
    assert note.startswith("12 rows are few: 200 epochs in batches of 8"), note
    missing = client.get("/api/v1/datasets/shades/preview?split=holdout")
    assert missing.status_code == 404
    assert "train" in missing.json()["detail"]


def test_a_dataset_that_is_being_checked_has_the_rows_read_so_far(client: TestClient) -> None:
    with transaction() as session:
        dataset_id = datasets.create(session, name="photos", sources=[]).id
    assert client.get("/api/v1/datasets/photos").json()["rows_read"] is None
    with transaction() as session:
        job_id = session.query(Job).filter_by(dataset_id=dataset_id).one().id
    claim = claim_job(job_id)
    with transaction() as session:
        jobs.report(session, claim, progress={"phase": "reading", "rows": 120})
    assert client.get("/api/v1/datasets/photos").json()["rows_read"] == 120
