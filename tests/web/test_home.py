"""Home and the login in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.api_process import ApiProcess
from tests.support.stack import RunningStack
from tests.web.conftest import Visitor, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_a_key_signs_in_and_continues_at_the_requested_page(chromium: Browser, service: ApiProcess) -> None:
    context = chromium.new_context()
    page = context.new_page()
    url = f"http://127.0.0.1:{service.port}"
    page.goto(f"{url}/jobs")
    page.get_by_label("API key").fill("wrong-" + service.key)
    page.get_by_role("button", name="Sign in").click()
    assert "unknown, expired or revoked" in page.get_by_role("alert").inner_text()
    page.get_by_label("API key").fill(service.key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/jobs")
    assert "plinth_session" not in page.evaluate("document.cookie")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{url}/login")
    page.goto(f"{url}/jobs")
    assert page.get_by_role("heading", name="Sign in").is_visible()
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_home_says_the_next_step_and_is_accessible(
    new_visitor: Callable[..., Visitor], content: Path, width: int, scheme: str
) -> None:
    visitor = new_visitor(width, color_scheme=scheme)
    page = visitor.open("/")
    page.wait_for_selector(".step.next")
    page.wait_for_selector("#device:not([aria-busy])", timeout=60_000)
    visitor.assert_fits()
    visitor.assert_accessible()
    visitor.assert_calm()


def test_the_first_stop_of_the_keyboard_leads_to_the_content(visitor: Visitor) -> None:
    page = visitor.open("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.process
def test_a_click_on_a_sample_uploads_it_and_trains_a_model(chromium: Browser, stack: RunningStack) -> None:
    context = chromium.new_context()
    visitor = visit(context, stack.url, stack.api_key)
    visitor.open("/").locator('[data-sample="reviews"]').get_by_role("button").click()
    visitor.page.wait_for_url("**/jobs/job_*", timeout=120_000)
    job_id = visitor.page.url.rpartition("/")[2]
    with stack.client() as plinth:
        job = plinth.jobs.get(job_id)
        assert job.spec["task"]["name"] == "text_classification"
        plinth.jobs.cancel(job_id)
    context.close()
