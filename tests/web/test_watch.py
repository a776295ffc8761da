"""The watch of a model in a browser: evidence, decisions, events, options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from store.adaptation import watches
from store.database import transaction
from tests.support.adaptation import WATCH_OPTIONS
from tests.support.factories import painter, register, shades
from tests.web.conftest import Visitor, take_screenshot

SCORES = {"accuracy": 0.9, "interval": [0.8, 0.95], "ece": 0.02}
PART = {"rows": 40, "current": SCORES, "candidate": {**SCORES, "accuracy": 0.7}, "difference": -0.2, "interval": None}


def put_watch(model: str) -> None:
    """Store a watch that has seen drift, and has refused a version."""
    at = "2026-11-29T12:00:00+00:00"
    evidence = [{"rows": rows, "value": value, "at": at} for rows, value in ((100, 1.5), (300, 80.0), (500, 900.0))]
    drift = {"test": "embedding", "version": 1, "reference_rows": 200, "rows": 500, "value": 900.0, "threshold": 400.0}
    checks = [{"name": "forgetting", "passed": False, "message": "accuracy on 40 old test rows -0.200"}]
    state = {
        "drift": [{**drift, "false_alarm_rate": 0.0025, "alarm_at": at, "alarm_row": 460, "evidence": evidence}],
        "gate": {"passed": False, "version": 1, "candidate": 2, "checks": checks, "table": {"old": PART, "all": PART}},
        "events": [
            {"at": at, "kind": "drift", "message": "embedding sees drift of version 1 after 460 rows"},
            {"at": at, "kind": "refused", "message": f"{model}@2 stays aside: accuracy on 40 old test rows -0.200"},
        ],
    }
    with transaction() as session:
        row = watches.put(session, model, keep="rows", fraction=0.25, options=WATCH_OPTIONS)
        row.state = {**row.state, **state}


def test_evidence_decisions_and_events_are_shown_also_on_a_narrow_screen(
    new_visitor: Callable[..., Visitor], content: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    register(shades(tmp_path / "package"), name="watched")
    put_watch("watched")
    visitor = new_visitor(width=360)
    page = visitor.open("/models/watched")
    expect(page.locator("#watch-summary")).to_contain_text("25 % of the requests are recorded")
    expect(page.locator("#watch-drift tbody tr")).to_contain_text("alarm at row 460")
    expect(page.get_by_role("img", name="Evidence of drift: embedding from 1.5 to 900")).to_be_visible()
    expect(page.locator("#watch-gate")).to_contain_text("fails: accuracy on 40 old test rows -0.200")
    expect(page.locator("#watch-events li").first).to_contain_text("watched@2 stays aside")
    page.get_by_text("Options of the watch").click()
    visitor.assert_fits()
    visitor.assert_accessible()
    visitor.assert_calm()
    take_screenshot(page, "watch narrow")


def test_options_are_saved_by_keyboard_and_faults_are_reported(visitor: Visitor, content: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    register(shades(tmp_path / "package"), name="unwatched")
    page = visitor.open("/models/unwatched")
    expect(page.locator("#watch-summary")).to_contain_text("Nothing of its requests is recorded")
    page.locator("#watch-options summary").focus()
    page.keyboard.press("Enter")
    page.get_by_label("What is recorded").focus()
    page.keyboard.press("Tab")
    page.keyboard.type("50")
    page.get_by_label("Drift tests").fill("embeding")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no drift test named 'embeding'")
    page.get_by_label("Drift tests").fill("embedding, confidence")
    page.get_by_label("Changes to the training, as JSON").fill("{epochs}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("no JSON")
    page.get_by_label("Changes to the training, as JSON").fill("")
    page.get_by_label("Accuracy on corrupted rows that may be lost").fill("0.1")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#watch-status")).to_have_text("The watch is saved.")
    with transaction() as session:
        row = watches.get(session, "unwatched")
        assert (row.keep, row.fraction, row.options["drift"]) == ("rows", 0.5, ["embedding", "confidence"])
        assert (row.options["gate"]["robustness"], row.options["gate"]["min_test_rows"]) == (0.1, 15)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="End the watch").click()
    expect(page.locator("#watch-status")).to_contain_text("The watch has ended")
    visitor.assert_accessible()
    # A refused request is an error of the console, and there was one.
    assert len(visitor.complaints) == 1


def test_a_model_that_cannot_be_watched_has_no_form(visitor: Visitor, content: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    register(painter(tmp_path / "unwatchable"), name="unwatchable")
    page = visitor.open("/models/unwatchable")
    expect(page.locator("#version-number")).to_have_text("1")
    expect(page.locator("#watch")).to_be_hidden()
