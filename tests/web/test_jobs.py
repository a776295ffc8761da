"""The list of jobs in a browser: states, pages, filters, live changes, a lost connection."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from store import jobs
from store.database import transaction
from tests.support.api_process import ApiProcess
from tests.support.factories import claim_job, queue_job, report_steps
from tests.web.conftest import Visitor

MARKUP = "<img src=x onerror=alert(1)>&amp;"


def test_a_job_moves_through_its_states_without_a_reload(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    job_id = queue_job(model="digits-live")
    row = visitor.open("/jobs").locator(f'tr[data-id="{job_id}"]')
    expect(row.locator(".badge")).to_have_text("queued")
    claim = claim_job(job_id)
    report_steps(claim, steps=4)
    expect(row.locator(".badge")).to_have_text("running")
    assert row.locator("progress").get_attribute("value") == "100.0"
    with transaction() as session:
        jobs.fail(session, claim, error={"code": "out_of_memory", "message": "ran out of memory", "hint": None})
    expect(row.locator(".badge")).to_have_text("failed")
    expect(row).to_contain_text("ran out of memory")
    visitor.assert_calm()
    visitor.assert_accessible()


def test_200_jobs_come_in_pages_and_filter_by_state(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    ids = [queue_job(model=f"many-{number}") for number in range(200)]
    for job_id in ids[:30]:
        claim_job(job_id)
    page = visitor.open("/jobs")
    rows = page.locator("#jobs tbody tr")
    expect(rows).to_have_count(50)
    expect(page.locator("#summary")).to_have_text("Jobs 1 to 50")
    expect(rows.first).to_contain_text("many-199")
    page.get_by_role("button", name="Older").click()
    expect(rows.first).to_contain_text("many-149")
    page.get_by_role("button", name="Newer").click()
    page.get_by_role("radio", name=re.compile("running")).check()
    expect(rows.first).to_contain_text("many-29")
    assert set(rows.locator(".badge").all_inner_texts()) == {"running"}
    page.get_by_label("Kind").select_option("export")
    expect(page.locator("#empty")).to_contain_text("No job is running.")
    visitor.assert_calm()


def test_markup_in_a_name_is_shown_as_text(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    job_id = queue_job(model=MARKUP)
    row = visitor.open("/jobs").locator(f'tr[data-id="{job_id}"]')
    expect(row.locator(".name")).to_have_text(MARKUP)
    assert row.locator("img").count() == 0
    visitor.assert_calm()


def test_a_lost_connection_is_announced_and_taken_up_again(
    visitor: Visitor, content: Path, service: ApiProcess
) -> None:
    from playwright.sync_api import expect

    page = visitor.open("/jobs")
    expect(page.locator("#summary")).not_to_be_empty()
    service.stop()
    expect(page.locator("#connection")).to_contain_text("connection to Plinth is lost")
    service.start()
    expect(page.locator("#connection")).to_be_hidden()
    job_id = queue_job(model="after-the-restart")
    expect(page.locator(f'tr[data-id="{job_id}"]')).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_list_fits_a_phone_and_is_accessible(
    new_visitor: Callable[..., Visitor], content: Path, scheme: str
) -> None:
    queue_job(model="a-name-that-is-much-longer-than-a-phone-is-wide" * 2)
    visitor = new_visitor(360, color_scheme=scheme)
    visitor.open("/jobs").wait_for_selector("#jobs tbody tr")
    visitor.assert_fits()
    visitor.assert_accessible()


def test_a_comparison_begins_when_two_runs_are_chosen_also_on_a_phone(
    new_visitor: Callable[..., Visitor], content: Path
) -> None:
    from playwright.sync_api import expect

    chosen = [queue_job(model="first-of-two"), queue_job(model="second-of-two")]
    page = new_visitor(360).open("/jobs")
    button = page.locator("#compare")
    expect(button).to_be_disabled()
    page.get_by_label("Select first-of-two to compare").check()
    expect(button).to_be_disabled()
    page.get_by_label("Select second-of-two to compare").check()
    button.click()
    page.wait_for_url("**/compare?*")
    assert all(job_id in page.url for job_id in chosen)
    assert page.url.count("job=") == 2


def test_a_phone_shows_the_result_and_the_start_of_a_job(new_visitor: Callable[..., Visitor], content: Path) -> None:
    from playwright.sync_api import expect

    with transaction() as session:
        jobs.fail(
            session, claim_job(queue_job(model="narrow")), error={"code": "x", "message": "no rows", "hint": None}
        )
    row = new_visitor(360).open("/jobs").locator("#jobs tr", has_text="narrow")
    expect(row.get_by_text("no rows")).to_be_visible()
    expect(row.get_by_text("just now")).to_be_visible()
