"""Reports and the system page in a browser."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml.data.importing.importer import import_dataset
from store import datasets, jobs, models
from store.blobs import blobs
from store.database import transaction
from tests.app.datasets.test_datasets import finish_queued_validation
from tests.support.factories import claim_job, painter, png, queue_job, register
from tests.web.conftest import Visitor, take_screenshot

MARKUP = "<i onload=x>dark"
REPORT: dict[str, Any] = {
    "task": "image_classification",
    "split": "test",
    "rows": 24,
    "metrics": {"accuracy": 0.9167, "loss": 0.31},
    "baseline": {"accuracy": 0.5, "loss": 0.69},
    "intervals": {"accuracy": [0.74, 0.98]},
    "warnings": [],
    "classes": [MARKUP, "light"],
    "confusion_matrix": [[10, 2], [0, 12]],
    "per_class": [
        {"label": MARKUP, "support": 12, "precision": 1.0, "recall": 0.83, "f1": 0.91},
        {"label": "light", "support": 12, "precision": 0.86, "recall": 1.0, "f1": 0.92},
    ],
    "errors": [
        {"index": 3, "label": MARKUP, "predicted": "light", "confidence": 0.91, "loss": 2.4},
        {"index": 5, "label": MARKUP, "predicted": "light", "confidence": 0.62, "loss": 1.1},
        {"index": 7, "label": "light", "predicted": MARKUP, "confidence": 0.6, "loss": 1.1},
    ],
    "calibration": {
        "ece": 0.06,
        "bins": [
            {"confidence": 0.6, "accuracy": 0.5, "count": 8},
            {"confidence": 0.95, "accuracy": 1.0, "count": 16},
        ],
    },
    "training": {"reason": "completed", "epochs": 3, "best_epoch": 2, "small_data_adjustments": None},
    "transfer": None,
}


@pytest.fixture
def reported_job(content: Path, tmp_path: Path) -> str:
    """A job with a report on images that exist."""
    with zipfile.ZipFile(tmp_path / "shades.zip", "w") as archive:
        for number in range(12):
            for label, brightness in (("dark", number), ("light", 240 + number)):
                for split in ("train", "test"):
                    archive.writestr(f"{split}/{label}/{number}.png", png(abs(brightness - (split == "test"))))
    imported = import_dataset([tmp_path / "shades.zip"], tmp_path / "dataset", task="image_classification")
    assert imported.summary is not None
    with transaction() as session:
        dataset_id = datasets.create(session, name="shades", sources=[]).id
    blobs().put_tree(f"datasets/{dataset_id}", tmp_path / "dataset")
    finish_queued_validation(ready=True, summary=imported.summary.model_dump(mode="json"))
    claim = claim_job(queue_job(dataset_id=dataset_id))
    with transaction() as session:
        jobs.succeed(session, claim, report=REPORT, reason="completed")
    return claim.job_id


def test_a_report_says_in_words_how_good_the_model_is(visitor: Visitor, reported_job: str) -> None:
    page = visitor.open(f"/jobs/{reported_job}/report")
    sentence = page.locator(".sentence").inner_text()
    assert "On 24 rows that training never saw, the model is right in 22 of 24" in sentence
    assert "expect 74\N{NO-BREAK SPACE}% to 98" in sentence
    assert "Answering the same class every time would be right in 12 of 24" in sentence
    assert page.get_by_role("img", name="Reliability: 0.6 confident, 0.5 right on 8 rows").is_visible()
    assert page.get_by_role("row", name=re.compile("accuracy")).get_by_text("better").is_visible()
    page.wait_for_selector(".mistake image")
    visitor.assert_accessible()
    visitor.assert_calm()


def test_a_cell_of_the_confusion_matrix_shows_its_rows(visitor: Visitor, reported_job: str) -> None:
    from playwright.sync_api import expect

    page = visitor.open(f"/jobs/{reported_job}/report")
    shown = page.locator(".mistake:not([hidden])")
    expect(shown).to_have_count(3)
    page.get_by_role("button", name=f"2 of class {MARKUP} taken for light").click()
    expect(shown).to_have_count(2)
    expect(shown.first).to_contain_text(MARKUP)
    expect(page.locator("#filter-text")).to_contain_text(f"2 of class {MARKUP} taken for light.")
    page.get_by_role("button", name="Show all mistakes").click()
    expect(shown).to_have_count(3)
    assert page.locator("i[onload]").count() == 0


def test_the_report_as_one_file_needs_no_other(visitor: Visitor, reported_job: str, tmp_path: Path) -> None:
    page = visitor.open(f"/jobs/{reported_job}/report")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save as one file").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    visitor.requests.clear()
    page.goto(file.as_uri())
    assert page.locator("h1").inner_text() == "Report on shades"
    assert page.locator(".mistake image").count() == 3
    assert [url for url in visitor.requests if not url.startswith(("data:", "file:"))] == []
    assert "<script" not in file.read_text()
    visitor.assert_accessible()


def test_the_report_of_a_generator_shows_what_the_model_makes(visitor: Visitor, content: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    register(painter(tmp_path / "model"), name="painter", report={"task": "image_generation", "metrics": {}})
    with transaction() as session:
        job_id = models.version(session, "painter@1").job_id
    page = visitor.open(f"/jobs/{job_id}/report")
    expect(page.locator("#samples img")).to_have_count(12)
    visitor.assert_accessible()
    visitor.assert_calm()


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_a_report_fits_a_phone_and_is_accessible(
    new_visitor: Callable[..., Visitor], reported_job: str, width: int, scheme: str
) -> None:
    visitor = new_visitor(width, color_scheme=scheme)
    page = visitor.open(f"/jobs/{reported_job}/report")
    page.wait_for_selector(".mistake image")
    visitor.assert_fits()
    visitor.assert_accessible()
    take_screenshot(page, f"report {width} {scheme}")


def test_the_report_of_deleted_data_still_lists_the_mistakes(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    claim = claim_job(queue_job())
    with transaction() as session:
        jobs.succeed(session, claim, report=REPORT, reason="completed")
    page = visitor.open(f"/jobs/{claim.job_id}/report")
    expect(page.locator(".mistake")).to_have_count(3)
    expect(page.locator(".mistake").first).to_contain_text("the data was deleted")


def test_a_job_without_a_report_says_so(visitor: Visitor, content: Path) -> None:
    page = visitor.open(f"/jobs/{queue_job()}/report")
    assert page.locator("h1").inner_text() == "Not Found"
    assert "writes it when it succeeds" in page.locator(".lead").inner_text()


def test_the_system_page_cleans_up_what_is_of_no_use(visitor: Visitor, content: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    with transaction() as session:
        datasets.create(session, name="refused", sources=[{"key": "uploads/refused", "filename": "refused.csv"}])
    (tmp_path / "refused.csv").write_bytes(b"x" * 5000)
    blobs().put_file("uploads/refused", tmp_path / "refused.csv")
    finish_queued_validation(ready=False)
    page = visitor.open("/system")
    row = page.get_by_role("row", name="uploads")
    expect(row).to_contain_text("5 kB")
    page.once("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="Clean up uploads").click()
    expect(page.locator("#free")).to_contain_text("5 kB were freed.")
    expect(row.get_by_role("button")).to_have_count(0)
    visitor.assert_accessible()
    visitor.assert_calm()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_the_system_page_shows_parts_keys_and_settings_without_secrets(
    new_visitor: Callable[..., Visitor], content: Path, width: int, scheme: str
) -> None:
    from playwright.sync_api import expect

    visitor = new_visitor(width, color_scheme=scheme)
    page = visitor.open("/system")
    expect(page.locator("#workers")).to_contain_text("No worker runs")
    expect(page.locator("#keys tbody tr").last).to_contain_text("the key of this session")
    page.get_by_label("Name").fill(f"laptop-{scheme}")
    page.get_by_role("button", name="Create a key").click()
    expect(page.locator("#secret")).to_contain_text("plinth_")
    expect(page.get_by_role("row", name=f"laptop-{scheme}")).to_contain_text("predict")  # no more than it needs
    page.get_by_text("Limits", exact=True).click()
    page.get_by_label("Name").fill(f"team-{scheme}")
    page.get_by_label("Models").fill("digits, tickets*")
    page.get_by_label("Ends after (days)").fill("30")
    page.get_by_label("Requests a minute").fill("20")
    page.get_by_role("button", name="Create a key").click()
    team = page.get_by_role("row", name=f"team-{scheme}")
    expect(team).to_contain_text("digits, tickets*, 20 a minute, ends ")
    page.get_by_label("Name").fill(f"owner-{scheme}")
    page.get_by_label("May", exact=True).select_option("do everything")
    page.get_by_role("button", name="Create a key").click()
    expect(page.get_by_role("row", name=f"owner-{scheme}")).to_contain_text("admin")
    secret = page.locator("#secret code").inner_text()
    page.reload()
    assert secret not in page.content()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name=f"Revoke laptop-{scheme}").click()
    expect(page.locator("#keys")).to_contain_text("revoked")
    expect(page.locator("#disk")).to_contain_text("checkpoints")
    page.locator("#settings-title").click()
    visitor.assert_fits()
    visitor.assert_accessible()
    visitor.assert_calm()
    take_screenshot(page, f"system {width} {scheme}")
