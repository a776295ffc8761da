"""A validation runs in the sandbox.

The dataset gets a result and the service continues after any failure there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from PIL import Image

from store import jobs
from store.database import transaction
from store.tables import Job, JobKind
from tests.support.worker.machine import Machine, write_digits
from tests.support.worker.waiting import until
from worker import sandbox
from worker.job_kinds import PROGRAMS
from worker.jobs.validate_dataset import report_rows

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

LIMITS = sandbox.ResourceLimits(memory_bytes=2**30, cpu_seconds=60, file_bytes=2**30)


def arguments_for(folder: Path) -> dict[str, object]:
    sources = [str(path) for path in write_digits(folder)]
    options = dict.fromkeys(("format", "columns", "splits"))
    return {"sources": sources, "into": str(folder / "dataset"), "task": "image_classification", **options}


def test_the_sandbox_writes_a_dataset_and_a_report(tmp_path):
    sandbox.read_in_sandbox(arguments=arguments_for(tmp_path), report=tmp_path / "report.json", limits=LIMITS)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["state"], report["rows"]) == ("ready", 640)
    assert (tmp_path / "dataset" / "dataset.json").is_file()


@pytest.mark.parametrize(("line", "stored"), [("4200", 4200), ("-1", None), ("rm -rf", None), ("9" * 40, None)])
def test_only_a_number_of_rows_is_stored_from_the_sandbox(tmp_path, line, stored):
    with Machine(tmp_path) as machine:
        job_id = machine.submit({"kind": "finetune", "model": "digits"}, dataset_id=None)
        with transaction() as session:
            claim = jobs.claim(session, job_id, worker="w")
        report_rows(claim, line)
        with transaction() as session:
            progress = jobs.get(session, job_id).progress
        assert (progress or {}).get("rows") == stored


def test_a_dataset_beyond_the_file_limit_is_rejected_with_the_reason(tmp_path):
    limits = replace(LIMITS, file_bytes=4096)
    with pytest.raises(sandbox.LimitExceeded, match="on disk"):
        sandbox.read_in_sandbox(arguments=arguments_for(tmp_path), report=tmp_path / "report.json", limits=limits)


def test_images_beyond_the_memory_limit_are_rejected_with_the_reason(tmp_path):
    image = BytesIO()
    Image.new("RGB", (4900, 5000)).save(image, "png", compress_level=1)
    upload = tmp_path / "images.zip"
    with zipfile.ZipFile(upload, "w") as archive:
        for name in ("cat/1.png", "dog/1.png"):
            archive.writestr(name, image.getvalue())
    arguments = {**arguments_for(tmp_path), "sources": [str(upload)]}
    limits = replace(LIMITS, memory_bytes=128 * 2**20)
    with pytest.raises(sandbox.LimitExceeded, match="memory"):
        sandbox.read_in_sandbox(arguments=arguments, report=tmp_path / "report.json", limits=limits)


def test_the_sandbox_has_limits_and_no_network():
    code = """
import json, resource, socket
from worker import sandbox
from worker.job_kinds import PROGRAMS
sandbox._apply_limits(sandbox.ResourceLimits(memory_bytes=2**30, cpu_seconds=7, file_bytes=2**20))
names = ("RLIMIT_DATA", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_CORE")
print(json.dumps({"limits": [resource.getrlimit(getattr(resource, name))[0] for name in names],
                  "interfaces": [name for _, name in socket.if_nameindex()]}))
"""
    report = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert report["limits"] == [2**30, 7, 2**20, 0]
    if sys.platform == "linux" and os.geteuid() == 0:
        assert report["interfaces"] in ([], ["lo"])


def test_a_reader_beyond_the_time_limit_gets_its_dataset_rejected_with_the_reason(tmp_path):
    with Machine(tmp_path, PLINTH_IMPORT_CPU_SECONDS="1", PLINTH_IMPORT_CPU_SECONDS_PER_MEGABYTE="0") as machine:
        machine.start_worker()
        images, labels = write_digits(tmp_path)
        dataset = machine.wait_for_verdict(machine.upload(*repeat_digits(images, labels)))
    assert dataset.state == "rejected"
    assert dataset.report["errors"][0]["code"] == "too_costly"
    assert "processor time" in dataset.report["errors"][0]["hint"]
    assert "PLINTH_IMPORT_CPU_SECONDS" in dataset.report["errors"][0]["hint"]


def test_a_setting_limits_the_rows_and_is_named_where_they_are_too_many(tmp_path):
    with Machine(tmp_path, PLINTH_IMPORT_MAX_ROWS="10") as machine:
        machine.start_worker()
        dataset = machine.wait_for_verdict(machine.upload(*write_digits(tmp_path)))
    (error,) = dataset.report["errors"]
    assert (dataset.state, error["code"]) == ("rejected", "too_many_rows")
    assert "PLINTH_IMPORT_MAX_ROWS" in error["hint"]
    assert error["sample"][0]["expected"] == "at most 10"


def repeat_digits(images: Path, labels: Path) -> tuple[Path, Path]:
    """Repeat the digits two thousand times, so that reading them takes more than a second."""
    times = 2000
    for path, header, rows in ((images, 16, slice(4, 8)), (labels, 8, slice(4, 8))):
        content = path.read_bytes()
        count = int.from_bytes(content[rows], "big") * times
        path.write_bytes(content[:4] + count.to_bytes(4, "big") + content[8:header] + content[header:] * times)
    return images, labels


def test_a_validation_that_is_killed_each_time_ends_with_a_rejected_dataset(tmp_path):
    with Machine(tmp_path) as machine:
        worker = machine.start_worker()
        dataset_id = machine.upload(*write_digits(tmp_path))
        [job_id] = validations(machine)
        killed = set()

        def kill_one_more() -> bool:
            for process in processes_of(job_id):
                process.kill()
                killed.add(process.pid)
            return machine.job(job_id).state == "failed"

        until(kill_one_more)
        assert len(killed) == 3
        dataset = machine.wait_for_verdict(dataset_id)
        assert (dataset.state, dataset.error["code"]) == ("rejected", "killed")
        # The service continues.
        assert worker.poll() is None
        second_id = machine.upload(*write_digits(tmp_path), name="again")
        assert machine.wait_for_verdict(second_id).state == "ready"


def validations(machine: Machine) -> list[str]:
    with transaction() as session:
        return [job.id for job in session.query(Job) if job.kind == JobKind.VALIDATE]


def processes_of(job_id: str) -> list[psutil.Process]:
    processes = []
    for process in psutil.process_iter():
        try:
            if process.cmdline()[1:4] == ["-m", PROGRAMS[JobKind.VALIDATE].module, job_id]:
                processes.append(process)
        except psutil.Error:
            continue
    return processes
