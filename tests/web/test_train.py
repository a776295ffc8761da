"""The page Train in a browser: the plan and its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from store import datasets
from store.database import transaction
from store.tables import Job
from tests.app.datasets.test_datasets import finish_queued_validation
from tests.app.jobs.test_jobs import SUMMARY
from tests.web.conftest import Visitor


def test_the_plan_offers_a_measurement_until_a_training_has_ended(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    with transaction() as session:
        datasets.create(session, name="planned", sources=[])
    finish_queued_validation(ready=True, summary=SUMMARY)
    page = visitor.open("/train?dataset=planned%401")
    expect(page.locator("#time").get_by_role("button", name="Measure the time")).to_be_visible()
    expect(page.locator("#plan")).to_contain_text("while validation improves")
    page.get_by_role("button", name="Start the job").click()
    page.wait_for_url("**/jobs/*")
    with transaction() as session:
        job = session.get(Job, page.url.rpartition("/")[2])
        assert job is not None
        job.state, job.progress = "succeeded", {"step": 200, "steps": 200}
        job.started_at = datetime.now(UTC) - timedelta(seconds=60)
        job.finished_at = datetime.now(UTC)
    page = visitor.open("/train?dataset=planned%401")
    expect(page.locator("#time")).to_contain_text("judged by the latest training of this network")
    visitor.assert_calm()
