"""The Python client against a real service."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from plinth import DatasetRejected, JobFailed, Plinth, PlinthError
from plinth.client.errors import APIError, Conflict, NotFound, Unauthorized, Unreachable
from plinth.client.uploads import Uploads, zip_folders
from tests.support.servers import NetworkProxy
from tests.support.stack import RunningStack, clean_environment

pytestmark = pytest.mark.process


def test_importing_it_loads_no_module_of_the_server(tmp_path: Path) -> None:
    program = (
        "import sys; from plinth import Plinth; Plinth().close(); print(*(name.split('.')[0] for name in sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"app", "worker", "store", "ml", "torch", "fastapi", "sqlalchemy", "pydantic", "numpy"} & set(printed)


def test_without_arguments_it_uses_the_service_of_the_home_folder(stack: RunningStack) -> None:
    program = "from plinth import Plinth\nwith Plinth() as plinth: print(plinth.url, plinth.system()['version'])"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=stack.environment()
    )
    assert result.stdout.split()[0] == stack.url


def test_an_unreachable_service_error_names_the_start_command() -> None:
    with Plinth("http://127.0.0.1:9", "key") as plinth, pytest.raises(Unreachable, match="plinth up"):
        plinth.catalog()


def test_a_wrong_key_raises_unauthorized(stack: RunningStack) -> None:
    with Plinth(stack.url, "not-the-right-key-at-all") as plinth, pytest.raises(Unauthorized) as caught:
        plinth.catalog()
    assert caught.value.status == 401
    assert caught.value.request_id


def test_an_unknown_dataset_raises_not_found(plinth: Plinth) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        plinth.datasets.get("nowhere")


def test_an_error_lists_all_findings_of_a_spec(plinth: Plinth) -> None:
    with pytest.raises(APIError) as caught:
        plinth.jobs.submit({"kind": "finetune", "schedule": {"epochs": 0}, "model": "m", "surprise": 1})
    assert {item["path"] for item in caught.value.errors} >= {"dataset", "task", "schedule.epochs", "surprise"}
    assert "schedule.epochs" in str(caught.value)


def test_a_dataset_is_uploaded_read_and_deleted(plinth: Plinth, digits_zip: Path) -> None:
    sent: list[tuple[int, int]] = []
    dataset = plinth.datasets.upload(
        digits_zip, name="traveling", task="image_classification", on_progress=lambda *step: sent.append(step)
    )
    assert sent[-1] == (digits_zip.stat().st_size, digits_zip.stat().st_size)
    ready = plinth.datasets.wait(dataset.id, timeout_seconds=60)
    assert ready.splits["test"] == 60
    assert ready.classes == [str(digit) for digit in range(10)]
    assert plinth.datasets.report("traveling").accepted == 300
    rows = plinth.datasets.preview("traveling", split="test", limit=3)
    assert [set(row) for row in rows] == [{"index", "input", "target", "titles", "file", "row", "line"}] * 3
    assert ready.id in [dataset.id for dataset in plinth.datasets.list()]
    plinth.datasets.delete(ready.id)
    with pytest.raises(NotFound):
        plinth.datasets.get(ready.id)


def test_a_job_waits_for_its_dataset_is_retried_cloned_and_deleted(plinth: Plinth, tmp_path: Path) -> None:
    table = tmp_path / "moods.csv"
    table.write_text(
        "text,label\n" + "".join(f"a {word} day {row},{word}\n" for row in range(20) for word in ("bad", "good"))
    )
    schedule = {"epochs": 1, "min_steps": 1}
    options: dict[str, Any] = {"task": "text_classification", "architecture": "rnn", "schedule": schedule}
    plinth.datasets.upload(table)
    job = plinth.jobs.finetune("moods", model="moods", **options)
    done = plinth.jobs.wait(job.id, timeout_seconds=120)
    assert done.spec["dataset"] == "moods@1"
    assert plinth.jobs.logs(job.id)[0].message == "starting"
    assert plinth.jobs.list(model="moods@1", dataset="moods", id_prefix=job.id[:30])[0].id == job.id
    with pytest.raises(Conflict, match="clone it"):
        plinth.jobs.retry(job.id)

    clone = plinth.jobs.clone(job.id, {"schedule": {"epochs": 5000}, "model": "moods-long"})
    assert (clone.origin, clone.spec["schedule"]["epochs"], clone.spec["model"]) == (job.id, 5000, "moods-long")
    plinth.jobs.cancel(clone.id)
    with pytest.raises(JobFailed):
        plinth.jobs.wait(clone.id, timeout_seconds=60)
    retried = plinth.jobs.retry(clone.id)
    assert retried.spec == clone.spec
    with pytest.raises(Conflict):
        plinth.jobs.delete(retried.id)
    plinth.jobs.cancel(retried.id)
    with pytest.raises(JobFailed):
        plinth.jobs.wait(retried.id, timeout_seconds=60)
    plinth.jobs.delete(retried.id)
    with pytest.raises(NotFound):
        plinth.jobs.get(retried.id)


def test_a_job_fails_with_a_dataset_that_is_rejected_or_does_not_fit(plinth: Plinth, tmp_path: Path) -> None:
    broken = tmp_path / "unfit.csv"
    broken.write_text("label,image\ncat,not-an-image\n")
    plinth.datasets.upload(broken, task="image_classification")
    job = plinth.jobs.finetune("unfit", model="unfit", task="image_classification")
    with pytest.raises(JobFailed, match="unfit@1 was rejected"):
        plinth.jobs.wait(job.id, timeout_seconds=60)
    table = tmp_path / "letters.csv"
    table.write_text("text,label\n" + "".join(f"text {row},{row % 2}\n" for row in range(40)))
    plinth.datasets.upload(table)
    job = plinth.jobs.finetune("letters", model="letters", task="image_classification")
    with pytest.raises(JobFailed, match="needs a column 'image'"):
        plinth.jobs.wait(job.id, timeout_seconds=60)


def test_a_folder_of_class_folders_can_be_uploaded(plinth: Plinth, digits_zip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "handwriting"
    with zipfile.ZipFile(digits_zip) as archive:
        archive.extractall(folder)
    ready = plinth.datasets.wait(plinth.datasets.upload(folder).id, timeout_seconds=60)
    assert (ready.name, ready.rows) == ("handwriting", 300)


def test_parts_become_one_dataset_and_others_its_next_versions(plinth: Plinth, tmp_path: Path) -> None:
    def write(name: str, header: str, lines: list[str]) -> Path:
        (tmp_path / name).write_text("\n".join([header, *lines, ""]))
        return tmp_path / name

    texts = [f"{word} {row},{row % 2}" for word in ("quiet", "loud", "bright") for row in range(20)]
    parts = [write(f"{number}.csv", "text,label", texts[20 * number : 20 * number + 20]) for number in range(3)]
    first = plinth.datasets.wait(plinth.datasets.upload(parts[:2], name="parts").id, timeout_seconds=60)
    second = plinth.datasets.upload(parts[2], name="parts", append=True)
    second = plinth.datasets.wait(second.id, timeout_seconds=60)
    assert (first.rows, second.rows, second.version) == (40, 60, 2)
    assert (second.origin or {})["dataset"] == "parts@1"
    events = [f"u{user},i{step},{1_600_000_000 + step}" for step in range(8) for user in range(12)]
    logs = [write(f"log{number}.csv", "user,item,timestamp", events[48 * number :][:48]) for number in range(2)]
    # The later events come first.
    plinth.datasets.wait(plinth.datasets.upload(logs[1], name="log", task="recommendation").id, timeout_seconds=60)
    joined = plinth.datasets.wait(plinth.datasets.upload(logs[0], name="log", append=True).id, timeout_seconds=60)
    assert plinth.datasets.preview(joined.id, split="test")[0]["input"]["history"] == [f"i{step}" for step in range(7)]
    with pytest.raises(PlinthError, match="Name the one to append to"):
        plinth.datasets.upload(parts[2], append=True)


def test_a_report_states_what_was_read_and_the_quoting_can_be_named(plinth: Plinth, tmp_path: Path) -> None:
    table = tmp_path / "quotes.csv"
    rows = "".join(f'"sentence" {row},{"yes" if row % 2 else "no"},note {row}\n' for row in range(40))
    table.write_text("text,label,remark\n" + rows)
    ready = plinth.datasets.wait(plinth.datasets.upload(table, quoting="none").id, timeout_seconds=60)
    reading = plinth.datasets.report(ready.id).reading
    assert reading == "read: text, label; quoting: none (quotes are characters); not read: remark"
    assert str(plinth.datasets.preview(ready.id)[0]["input"]).count('"') >= 2


def test_the_error_of_a_rejected_dataset_has_its_report(plinth: Plinth, tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_text("label,image\ncat,not-an-image\n")
    with pytest.raises(DatasetRejected) as rejected:
        plinth.datasets.wait(plinth.datasets.upload(broken, task="image_classification").id, timeout_seconds=60)
    assert rejected.value.report.errors
    assert "broken" in str(rejected.value)


def test_a_missing_file_is_an_error_before_the_upload(plinth: Plinth) -> None:
    with pytest.raises(PlinthError, match="No such file"):
        plinth.datasets.upload("nowhere.zip")


def test_a_killed_upload_is_resumed_at_its_offset(
    plinth: Plinth, digits_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path))
    half = digits_zip.stat().st_size // 2

    class Killed(Exception):
        pass

    def die_half_way(sent: int, total: int) -> None:
        if sent >= half:
            raise Killed

    with pytest.raises(Killed):
        Uploads(plinth._transport, chunk_bytes=5_000).send([digits_zip], on_progress=die_half_way)
    steps: list[int] = []
    uploads = Uploads(plinth._transport, chunk_bytes=5_000)
    (upload,) = uploads.send([digits_zip], on_progress=lambda sent, total: steps.append(sent))
    assert steps[0] >= half
    assert steps[-1] == digits_zip.stat().st_size
    uploads.forget([digits_zip])
    assert json.loads((tmp_path / "resumable-uploads.json").read_text()) == {}
    document = plinth._transport.post("/api/v1/datasets", {"name": "resumed", "upload": upload})
    assert plinth.datasets.wait(document["id"], timeout_seconds=60).rows == 300


def test_the_upload_of_a_folder_is_resumed_while_the_folder_is_unchanged(
    plinth: Plinth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.bin").write_bytes(os.urandom(40_000))

    class Killed(Exception):
        pass

    def die_half_way(sent: int, total: int) -> None:
        if sent >= 20_000:
            raise Killed

    def steps_of_another_try() -> list[int]:
        steps: list[int] = []
        with zip_folders([folder]) as archives:
            Uploads(plinth._transport, chunk_bytes=5_000).send(archives, on_progress=lambda sent, _: steps.append(sent))
        return steps

    with zip_folders([folder]) as archives, pytest.raises(Killed):
        Uploads(plinth._transport, chunk_bytes=5_000).send(archives, on_progress=die_half_way)
    assert steps_of_another_try()[0] >= 20_000
    (folder / "a.bin").write_bytes(os.urandom(40_000))
    assert steps_of_another_try()[0] == 0


def test_an_upload_succeeds_over_a_connection_that_keeps_breaking(
    stack: RunningStack, digits_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path))
    proxy = NetworkProxy("127.0.0.1", int(stack.url.rpartition(":")[2])).start()
    try:
        proxy.cut_after_bytes = 30_000
        with Plinth(f"http://127.0.0.1:{proxy.port}", stack.api_key) as plinth:
            (upload,) = Uploads(plinth._transport, chunk_bytes=20_000).send([digits_zip])
            proxy.cut_after_bytes = None
            document = plinth._transport.post("/api/v1/datasets", {"name": "torn", "upload": upload})
            assert plinth.datasets.wait(document["id"], timeout_seconds=60).rows == 300
    finally:
        proxy.stop()


def test_a_stream_of_events_survives_a_kill_of_the_service(stack: RunningStack, digits_zip: Path) -> None:
    """All events arrive once and in order, although the API is killed while it streams."""
    with stack.client() as plinth:
        dataset = plinth.datasets.wait(plinth.datasets.upload(digits_zip, name="streamed").id, timeout_seconds=60)
        job = plinth.jobs.finetune(
            dataset.id,
            task="image_classification",
            architecture="cnn",
            schedule={"epochs": 2_000, "batch_size": 32},
            model="streamed",
        )
        app, numbers = stack.pid_of("app"), []
        for event in plinth.jobs.events(job.id):
            numbers.append(event.id)
            if len(numbers) == 3:
                os.kill(app, signal.SIGKILL)
                # Canceled from a thread, since this one reads: it waits until the service is back.
                canceler = threading.Thread(target=cancel_once_it_is_back, args=(stack, app, job.id))
                canceler.start()
        canceler.join()
        assert numbers == list(range(1, len(numbers) + 1))
        assert plinth.jobs.get(job.id).state == "cancelled"


def cancel_once_it_is_back(stack: RunningStack, killed: int, job_id: str) -> None:
    with stack.client() as plinth:
        while True:
            time.sleep(0.1)
            try:
                if stack.pid_of("app") != killed:
                    plinth.jobs.cancel(job_id)
                    return
            except Unreachable:
                continue


def test_keys_are_valid_until_they_are_revoked(stack: RunningStack, plinth: Plinth) -> None:
    key = plinth.keys.create("laptop")
    assert key.secret
    assert key.secret not in repr(key)
    with Plinth(stack.url, key.secret) as laptop:
        assert laptop.system()["version"]
        plinth.keys.revoke(key.id)
        time.sleep(1)  # The service applies a revocation within a second.
        with pytest.raises(Unauthorized):
            laptop.system()


def test_an_ended_job_cannot_be_resumed(plinth: Plinth, digits_zip: Path) -> None:
    dataset = plinth.datasets.wait(plinth.datasets.upload(digits_zip, name="steered").id, timeout_seconds=60)
    job = plinth.jobs.finetune(
        dataset.id, task="image_classification", architecture="cnn", schedule={"epochs": 1_000}, model="steered"
    )
    plinth.jobs.cancel(job.id)
    for _ in plinth.jobs.events(job.id):
        pass
    assert plinth.jobs.get(job.id).state == "cancelled"
    with pytest.raises(Conflict):
        plinth.jobs.resume(job.id)


def test_tests_run_without_plinth_variables() -> None:
    assert not [name for name in clean_environment() if name.startswith("PLINTH_")]
