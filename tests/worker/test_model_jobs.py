"""Jobs that use a registered model, in a real service: evaluations and predictions."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pyarrow import parquet

from plinth import APIError, Conflict, JobFailed, Plinth
from plinth.client.types import Job
from tests.support.command import run_command
from tests.support.stack import RunningStack

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

DATA = "model-jobs"


@pytest.fixture(scope="module")
def client(stack: RunningStack) -> Any:
    with stack.client() as client:
        yield client


@pytest.fixture(scope="module")
def trained(client: Plinth, digits_zip: Path) -> Job:
    """A model that was trained for a few steps, so that it makes mistakes."""
    client.datasets.wait(client.datasets.upload(digits_zip, name=DATA).id)
    schedule = {"epochs": 2, "min_steps": 1, "min_batches_per_epoch": 1, "batch_size": 32}
    job = client.jobs.finetune(
        DATA, model=DATA, task="image_classification", architecture="cnn", schedule=schedule, seed=3
    )
    return client.jobs.wait(job.id, timeout_seconds=200)


@pytest.fixture(scope="module")
def evaluation(client: Plinth, trained: Job) -> Job:
    return client.jobs.wait(client.jobs.evaluate(DATA, DATA, split="test").id, timeout_seconds=100)


def test_the_report_is_readable_at_the_job_the_model_and_the_dataset(
    client: Plinth, trained: Job, evaluation: Job
) -> None:
    report, training = client.jobs.report(evaluation.id), client.jobs.report(trained.id)
    (at_model,) = client.models.evaluations(DATA)
    (at_dataset,) = client.datasets.evaluations(DATA)

    resolved = {"model": f"{DATA}@1", "dataset": f"{DATA}@1", "split": "test", "robustness": False}
    assert evaluation.spec == {"kind": "evaluate", **resolved}
    assert at_model == at_dataset
    assert (at_model.job, at_model.model, at_model.split, at_model.rows) == (evaluation.id, f"{DATA}@1", "test", 60)
    assert at_model.metrics == report["metrics"] == pytest.approx(training["metrics"], abs=1e-4)
    assert report["calibration"]["ece"] == at_model.calibration["ece"]
    assert {part["column"] for part in report["slices"]} == {"label"}
    assert client.jobs.list(kind="evaluate", dataset=DATA)[0].id == evaluation.id


def test_ended_jobs_have_the_metrics_of_the_test_rows(client: Plinth, trained: Job, evaluation: Job) -> None:
    for job in (trained, evaluation):
        metrics = client.jobs.report(job.id)["metrics"]
        assert {name: job.metrics[f"test/{name}"] for name in metrics} == pytest.approx(metrics)
    assert "validation/loss" in trained.metrics


def test_mistakes_are_rows_that_one_can_send_to_the_model(client: Plinth, evaluation: Job) -> None:
    listed = client.jobs.report(evaluation.id)["mistakes"]
    mistakes = client.datasets.mistakes(DATA, evaluation.id, limit=None)

    assert [mistake.index for mistake in mistakes] == [row["index"] for row in listed["rows"]]
    assert len(mistakes) == listed["count"]
    assert all(mistake.file for mistake in mistakes)
    for mistake in mistakes[:3]:
        output = client.predict(DATA, mistake.input).output
        assert output["label"] == mistake.answer != mistake.truth
        assert output["confidence"] == pytest.approx(mistake.confidence, abs=1e-4)


def test_label_sets_are_answered_over_http(client: Plinth, evaluation: Job) -> None:
    (mistake, *_) = client.datasets.mistakes(DATA, evaluation.id)
    wide = client.predict(DATA, mistake.input, parameters={"conformal": 0.9}).output
    with pytest.raises(APIError, match="support a coverage of at most"):
        client.predict(DATA, mistake.input, parameters={"conformal": 0.9999})

    assert wide["label_set"][0] == wide["label"] == client.predict(DATA, mistake.input).output["label"]


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"model": "nobody"}, "model", "there is no model named 'nobody'"),
        ({"dataset": "nothing"}, "dataset", "there is no dataset named 'nothing'"),
        ({"split": "holdout"}, "split", "test"),
        ({"splits": "test"}, "splits", "split"),
    ],
)
def test_an_evaluation_that_cannot_work_is_refused_at_once(
    client: Plinth, trained: Job, changes: dict[str, str], path: str, message: str
) -> None:
    spec = {"kind": "evaluate", "model": DATA, "dataset": DATA, **changes}

    with pytest.raises(APIError, match=message) as refusal:
        client.jobs.submit(spec)

    assert refusal.value.status == 422
    assert [finding["path"] for finding in refusal.value.errors] == [path]


def test_the_command_prints_slices_and_mistakes(stack: RunningStack, trained: Job) -> None:
    process = run_command("evaluate", DATA, DATA, "--mistakes", "2", environment=stack.environment(), columns=120)
    output = process.stdout

    assert process.returncode == 0, process.stderr
    assert "calibration: confidence and accuracy differ by" in output
    assert "The worst slices" in output
    assert "Mistakes in the split test" in output


def test_the_pages_show_the_job_and_its_report(stack: RunningStack, evaluation: Job) -> None:
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    for path, part in (("", evaluation.id), ("/report", f"Report on {DATA}@1"), ("/report.html", "accuracy")):
        page = httpx2.get(f"{stack.url}/jobs/{evaluation.id}{path}", headers=headers)
        assert page.status_code == 200
        assert part in page.text


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def predictions(client: Plinth, trained: Job) -> Job:
    return client.jobs.wait(client.jobs.batch_predict(DATA, DATA).id, timeout_seconds=100)


def test_every_row_is_predicted_in_order(client: Plinth, predictions: Job, evaluation: Job, tmp_path: Path) -> None:
    lines = read_lines(client.jobs.download_predictions(predictions.id, tmp_path))
    report = client.jobs.report(predictions.id)

    splits = client.datasets.get(DATA).splits
    assert [line["row"] for line in lines] == list(range(1, 301))
    assert [line["split"] for line in lines] == [
        split for split in ("train", "validation", "test") for _ in range(splits.get(split, 0))
    ]
    assert (report["rows"], report["bad_rows"], report["row_errors"]) == (300, 0, [])
    (mistake, *_) = client.datasets.mistakes(DATA, evaluation.id)
    (line,) = [line for line in lines if (line["split"], line["index"]) == ("test", mistake.index)]
    assert line["output"]["label"] == mistake.answer
    assert line["output"]["confidence"] == pytest.approx(mistake.confidence, abs=1e-4)


def test_parquet_has_a_column_for_each_field(client: Plinth, trained: Job, tmp_path: Path) -> None:
    spec = {"split": "test", "parameters": {"conformal": 0.9}, "format": "parquet"}
    job = client.jobs.wait(client.jobs.batch_predict(DATA, DATA, **spec).id, timeout_seconds=100)

    path = client.jobs.download_predictions(job.id, tmp_path)

    assert path.suffix == ".parquet"
    table = parquet.read_table(path)
    assert table.num_rows == 60
    assert {"row", "split", "index", "label", "confidence", "probabilities", "label_set", "error"} == set(
        table.column_names
    )
    assert table.column("index").to_pylist() == list(range(60))
    assert all(table.column("label_set").to_pylist())


def test_a_file_of_rows_is_predicted_in_its_order(
    client: Plinth, trained: Job, evaluation: Job, tmp_path: Path
) -> None:
    mistakes = client.datasets.mistakes(DATA, evaluation.id, limit=3)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(mistake.input) + "\n" for mistake in mistakes))

    job = client.jobs.wait(client.jobs.batch_predict(DATA, rows).id, timeout_seconds=100)

    lines = read_lines(client.jobs.download_predictions(job.id, tmp_path / "answers.jsonl"))
    assert [line["output"]["label"] for line in lines] == [mistake.answer for mistake in mistakes]
    client.datasets.delete(str(job.spec["dataset"]))


def test_an_interrupted_prediction_continues_after_its_last_part(
    client: Plinth, stack: RunningStack, predictions: Job, tmp_path: Path
) -> None:
    whole = client.jobs.download_predictions(predictions.id, tmp_path / "whole.jsonl").read_bytes().splitlines(True)
    job = client.jobs.batch_predict(DATA, DATA)
    client.jobs.pause(job.id)
    # What a run that was killed left behind: the first 123 rows, marked to tell them from those of the next run.
    part = stack.home / "blobs" / "predictions" / job.id / f"{0:012d}-{123:012d}-0.jsonl"
    part.parent.mkdir(parents=True, exist_ok=True)
    marked = [line.replace(b'"output"', b'"output" ') for line in whole[:123]]
    part.write_bytes(b"".join(marked))

    partial = client.jobs.download_predictions(job.id, tmp_path / "partial.jsonl").read_bytes()
    client.jobs.resume(job.id)
    client.jobs.wait(job.id, timeout_seconds=100)
    lines = client.jobs.download_predictions(job.id, tmp_path / "resumed.jsonl").read_bytes().splitlines(True)

    assert partial.startswith(b"".join(marked))
    assert lines[:123] == marked
    assert [json.loads(line)["output"]["label"] for line in lines] == [
        json.loads(line)["output"]["label"] for line in whole
    ]


def test_a_canceled_prediction_keeps_its_rows_until_it_is_deleted(
    client: Plinth, stack: RunningStack, trained: Job, tmp_path: Path
) -> None:
    job = client.jobs.batch_predict(DATA, DATA)
    client.jobs.pause(job.id)
    folder = stack.home / "blobs" / "predictions" / job.id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{0:012d}-{1:012d}-0.jsonl").write_bytes(b'{"row":1}\n')
    until_ended(client, client.jobs.cancel(job.id).id)

    assert read_lines(client.jobs.download_predictions(job.id, tmp_path))[0]["row"] == 1
    client.jobs.delete(job.id)
    assert not folder.exists()


def until_ended(client: Plinth, job_id: str) -> None:
    with suppress(JobFailed):
        client.jobs.wait(job_id, timeout_seconds=100)


def test_predictions_of_another_kind_of_job_are_refused(client: Plinth, trained: Job, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="only batch_predict makes predictions"):
        client.jobs.download_predictions(trained.id, tmp_path)
    with pytest.raises(APIError, match="no parameter named 'speed'"):
        client.jobs.batch_predict(DATA, DATA, parameters={"speed": 2})
    failed = client.jobs.batch_predict(DATA, DATA, parameters={"conformal": 2})
    with pytest.raises(JobFailed, match="must be a number above 0 and below 1"):
        client.jobs.wait(failed.id, timeout_seconds=100)


def test_the_command_downloads_the_predictions(stack: RunningStack, trained: Job, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    arguments = ("batch-predict", DATA, DATA, "--split", "test", "--to", str(file))

    process = run_command(*arguments, environment=stack.environment())

    assert process.returncode == 0, process.stderr
    assert len(read_lines(file)) == 60


def test_a_training_is_reproduced_bit_for_bit(client: Plinth, stack: RunningStack, trained: Job) -> None:
    job = client.jobs.wait(client.jobs.reproduce(trained.id).id, timeout_seconds=200)
    report = client.jobs.report(job.id)

    assert (report["equal"], report["answer"], report["model"]) == (True, "equal, bit for bit", f"{DATA}@1")
    assert report["checkpoints"] >= 3
    assert report["environment"]["original"] == report["environment"]["now"]
    assert len(client.models.versions(DATA)) == 1, "a repetition registers no model"
    page = httpx2.get(f"{stack.url}/jobs/{job.id}/report", headers={"Authorization": f"Bearer {stack.api_key}"})
    assert page.status_code == 200


def test_only_trainings_that_succeeded_are_reproduced(client: Plinth, evaluation: Job) -> None:
    with pytest.raises(APIError, match="is of the kind evaluate, which trains nothing"):
        client.jobs.reproduce(evaluation.id)
    with pytest.raises(APIError, match="does not exist"):
        client.jobs.reproduce(f"job_{'0' * 32}")


def test_a_pruned_model_is_registered_beside_the_original(client: Plinth, stack: RunningStack, trained: Job) -> None:
    job = client.jobs.wait(
        client.jobs.prune(DATA, DATA, operations=0.5, schedule={"epochs": 1, "batch_size": 64}).id, timeout_seconds=200
    )
    report = client.jobs.report(job.id)
    (model,) = client.models.versions(f"{DATA}-pruned")

    assert (job.spec["model"], job.spec["result"]) == (f"{DATA}@1", f"{DATA}-pruned")
    assert report["pruning"]["operations"]["after"] <= report["pruning"]["operations"]["before"] / 2
    assert model.parameters == report["pruning"]["parameters"]["after"]
    assert model.lineage.parent is not None
    assert (model.lineage.parent.name, model.lineage.parent.version) == (DATA, 1)
    assert any("operations remain" in note for note in report["notes"])
    with pytest.raises(APIError, match=r"less than or equal to 0\.95"):
        client.jobs.prune(DATA, DATA, operations=2)


def test_the_largest_size_in_time_answers(client: Plinth, stack: RunningStack, trained: Job) -> None:
    name = f"{DATA}-sizes"
    schedule = {"epochs": 1, "min_steps": 1, "min_batches_per_epoch": 1, "batch_size": 64}
    fields = {"task": "image_classification", "architecture": "cnn", "schedule": schedule, "sizes": [1, 0.5, 0.25]}
    job = client.jobs.wait(client.jobs.finetune(DATA, model=name, **fields).id, timeout_seconds=200)
    sizes = client.jobs.report(job.id)["sizes"]
    image = {"pixels": [[0] * 8] * 8}
    usual, slow, fast = (client.predict(name, image, budget_ms=budget) for budget in (None, 60_000, 0.001))
    url, headers = f"{stack.url}/predict/{name}", {"Authorization": f"Bearer {stack.api_key}"}
    body = {"json": {"inputs": [image]}, "timeout": 60}
    by_header = httpx2.post(url, headers={**headers, "X-Budget-Ms": "0.001"}, **body).json()
    refused = httpx2.post(f"{url}?budget_ms=0", headers=headers, **body)

    assert [entry["size"] for entry in sizes] == [1, 0.5, 0.25]
    assert (usual.size, slow.size, fast.size, by_header["size"]) == (None, 1, 0.25, 0.25)
    assert slow.outputs == usual.outputs
    assert by_header["outputs"] == list(fast.outputs)
    assert fast.output["probabilities"] != usual.output["probabilities"]
    assert client.predict(DATA, image, budget_ms=0.001).size == 1, "a model of one size has no choice"
    assert refused.status_code == 422
    assert "budget_ms" in refused.text


def test_models_are_ranked_for_a_dataset(client: Plinth, stack: RunningStack, trained: Job) -> None:
    job = client.jobs.wait(client.jobs.recommend_base(DATA, bases=[DATA]).id, timeout_seconds=100)
    report = client.jobs.report(job.id)
    process = run_command("bases", "recommend", DATA, "--base", DATA, environment=stack.environment(), columns=120)

    assert (job.kind, job.spec["bases"]) == ("recommend", [f"{DATA}@1"])
    assert report["bases"][0]["base"] == f"{DATA}@1"
    assert report["bases"][0]["accuracy"] > report["baseline"]["accuracy"]
    assert process.returncode == 0, process.stderr
    assert f"--from {DATA}@1" in process.stdout
    with pytest.raises(APIError, match="there is no model named 'nobody'"):
        client.jobs.recommend_base(DATA, bases=["nobody"])


def test_a_job_that_still_trains_answers_from_its_newest_checkpoint(client: Plinth, trained: Job) -> None:
    image = {"pixels": [[0] * 8] * 8}
    schedule = {"epochs": 10_000, "batch_size": 64}
    fields = {"task": "image_classification", "architecture": "cnn", "schedule": schedule}
    job = client.jobs.finetune(DATA, model=f"{DATA}-endless", **fields)
    with pytest.raises(APIError, match="no checkpoint to predict with; wait for its first checkpoint") as early:
        client.predict(job.id, image)
    deadline = time.monotonic() + 60
    while not client.jobs.checkpoints(job.id):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    steps = [checkpoint.step for checkpoint in client.jobs.checkpoints(job.id)]
    answer = client.predict(job.id, image)
    state = client.jobs.get(job.id).state
    client.jobs.cancel(job.id)

    assert early.value.status == 409
    assert state == "running"
    assert (answer.model, answer.task) == (job.id, "image_classification")
    assert answer.version >= max(steps)
    assert sum(answer.output["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert client.predict(trained.id, image).outputs == client.predict(f"{DATA}@1", image).outputs


def test_a_training_is_measured_without_being_started(client: Plinth, trained: Job) -> None:
    spec = {"kind": "finetune", "dataset": DATA, "model": "never", "task": "image_classification"}
    before = len(client.jobs.list(limit=None))
    cost = client.jobs.measure({**spec, "architecture": "cnn"})
    started = time.monotonic()
    again = client.jobs.measure({**spec, "architecture": "cnn"})

    assert cost["training_seconds"] > 0
    assert cost["steps"] > cost["measured_steps"] > 0
    assert again == {**cost, "ends_at": again["ends_at"]}
    assert again["ends_at"] > cost["ends_at"]
    assert time.monotonic() - started < 1, "it is measured once"
    assert len(client.jobs.list(limit=None)) == before
    with pytest.raises(APIError, match="only trainings are measured"):
        client.jobs.measure({"kind": "evaluate", "model": DATA, "dataset": DATA})
