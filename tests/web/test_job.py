"""One job in a browser: live curves, requests, failures, other jobs beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from store import jobs, models
from store.database import transaction
from store.jobs import Claim
from tests.support.api_process import ApiProcess
from tests.support.factories import claim_job, queue_job, register, report_steps, shades
from tests.web.conftest import Visitor, take_screenshot

MARKUP = "<script>document.title='x'</script>&lt;b&gt;"


def report_step(claim: Claim, step: int, *, steps: int = 100, **metrics: float) -> None:
    with transaction() as session:
        progress = {"phase": "training", "step": step, "steps": steps, "percent": 100 * step / steps, "eta_seconds": 75}
        named = {name.replace("__", "/"): value for name, value in metrics.items()}
        jobs.report(session, claim, progress=progress, metrics=named, step=step, events=[("log", {"message": MARKUP})])


def test_curves_grow_while_the_job_runs(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    job_id = queue_job(model="growing")
    page = visitor.open(f"/jobs/{job_id}")
    expect(page.locator(".badge").first).to_have_text("queued")
    expect(page.locator("#progress")).to_contain_text("Queue")
    claim = claim_job(job_id)
    for step in range(1, 21):
        report_step(claim, step, train__loss=2 / step, validation__accuracy=1 - 1 / step)
    chart = page.locator(".chart").first
    expect(chart).to_have_attribute("aria-label", "loss: train from 2 to 0.1")
    expect(page.locator("#progress")).to_contain_text("75 s")
    expect(page.locator(".phases .now")).to_have_text("training")
    for step in range(21, 41):
        report_step(claim, step, train__loss=2 / step, validation__accuracy=1 - 1 / step)
    expect(chart).to_have_attribute("aria-label", "loss: train from 2 to 0.05")
    expect(page.locator("#log li").first).to_contain_text(MARKUP)
    assert page.title() == "Job growing - Plinth"
    visitor.assert_calm()
    visitor.assert_accessible()


def test_curves_have_smoothing_a_log_scale_a_time_axis_and_other_jobs_beside_them(
    visitor: Visitor, content: Path
) -> None:
    from playwright.sync_api import expect

    for name in ("first", "second"):
        claim = claim_job(queue_job(model=name))
        for step in range(1, 31):
            report_step(claim, step, train__loss=(3 if name == "first" else 2) / step)
        with transaction() as session:
            jobs.succeed(session, claim, reason="completed")
    page = visitor.open(f"/jobs/{claim.job_id}")
    curves = page.locator(".chart").first.locator(".curve")
    expect(curves).to_have_count(1)
    page.get_by_label("Smoothing").fill("0.9")
    expect(curves).to_have_count(2)
    linear = curves.last.get_attribute("d")
    page.get_by_label("Log scale").check()
    expect(curves.last).not_to_have_attribute("d", linear or "")
    expect(page.locator(".chart").first).to_contain_text("0.1")
    page.get_by_label("Over").select_option("time")
    expect(page.locator(".axis-label").first).to_have_text("time")
    page.get_by_label("Over").select_option("step")
    other = page.get_by_label("Beside").locator("option", has_text="first").first
    page.get_by_label("Beside").select_option(other.get_attribute("value"))
    expect(page.locator(".legend").first).to_contain_text("first train")
    visitor.assert_calm()
    page.get_by_role("button", name="Remove first").click()
    expect(page.locator(".legend").first).not_to_contain_text("first")


def test_a_running_job_is_paused_resumed_stopped_and_cancelled(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    job_id = queue_job(model="requests")
    claim = claim_job(job_id)
    report_steps(claim, steps=2)
    page = visitor.open(f"/jobs/{job_id}")
    badge = page.locator("#about .badge")
    page.get_by_role("button", name="Pause").click()
    expect(badge).to_have_text("pausing")
    with transaction() as session:
        jobs.release(session, claim, crashed=False)
    expect(badge).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(badge).to_have_text("queued")
    claim_job(job_id)
    expect(badge).to_have_text("running")
    page.get_by_role("button", name="Stop and keep").click()
    expect(badge).to_have_text("stopping")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(badge).to_have_text("cancelling")
    visitor.assert_calm()


def test_a_failed_job_says_what_failed_and_what_to_do(new_visitor: Callable[..., Visitor], content: Path) -> None:
    from playwright.sync_api import expect

    claim = claim_job(queue_job(model=MARKUP))
    error = {"code": "out_of_memory", "message": "ran out of memory", "hint": "lower schedule.batch_size"}
    with transaction() as session:
        jobs.fail(session, claim, error=error)
    visitor = new_visitor(360, color_scheme="dark")
    page = visitor.open(f"/jobs/{claim.job_id}")
    expect(page.locator("#outcome")).to_contain_text("ran out of memory")
    expect(page.locator("#outcome")).to_contain_text("lower schedule.batch_size")
    expect(page.locator("h1")).to_have_text(MARKUP)
    visitor.assert_fits()
    visitor.assert_accessible()
    visitor.assert_calm()
    take_screenshot(page, "job failed narrow dark")


def test_the_stream_of_a_job_continues_after_a_lost_connection(
    visitor: Visitor, content: Path, service: ApiProcess
) -> None:
    from playwright.sync_api import expect

    claim = claim_job(queue_job(model="lost"))
    report_step(claim, 1, train__loss=1.0)
    page = visitor.open(f"/jobs/{claim.job_id}")
    expect(page.locator("#log li")).to_have_count(1)
    service.stop()
    expect(page.locator("#connection")).to_be_visible()
    service.start()
    report_step(claim, 2, train__loss=0.5)
    expect(page.locator("#log li")).to_have_count(2)
    expect(page.locator(".chart").first).to_have_attribute("aria-label", "loss: train from 1 to 0.5")


@pytest.mark.parametrize("count", [100])
def test_100_runs_are_compared_sorted_and_drawn(visitor: Visitor, content: Path, count: int) -> None:
    from playwright.sync_api import expect

    for number in range(count):
        with transaction() as session:
            spec = {"kind": "pretrain", "dataset": "d@1", "model": f"run-{number}", "objective": {"name": "compared"}}
            spec["schedule"] = {"learning_rate": 10.0 ** -(number % 5), "epochs": 1 + number % 7, "seed": 3}
            job_id = jobs.submit(session, kind="pretrain", spec=spec, model_name=f"run-{number}").id
        report_step(claim_job(job_id), 1, validation__loss=1 + (number * 37 % count) / count)
    page = visitor.open("/compare")
    rows = page.locator("#runs tbody tr")
    expect(rows).to_have_count(count)
    expect(page.locator(".parallel .run")).to_have_count(count)
    page.get_by_role("button", name="validation loss").click()
    expect(rows.first.locator("td").first).to_have_text("1")
    page.get_by_role("button", name="validation loss").click()
    expect(rows.first.locator("td").first).to_have_text("1.99")
    rows.first.hover()
    expect(page.locator(".parallel.alone .run.seen")).to_have_count(1)
    expect(page.locator("#runs thead th")).to_have_count(4)
    expect(page.locator("#same-title")).to_have_text("1 setting equal in all runs")
    visitor.assert_accessible()
    visitor.assert_calm()
    take_screenshot(page, "compare wide light")


def test_the_best_run_is_marked_for_each_dataset(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    job_ids = []
    for dataset, loss in (("small@1", 0.5), ("small@1", 0.4), ("large@1", 0.9), ("large@1", 0.8)):
        with transaction() as session:
            spec = {"kind": "pretrain", "dataset": dataset, "model": "best", "objective": {"name": "marked"}}
            job_ids.append(jobs.submit(session, kind="pretrain", spec=spec, model_name="best").id)
        report_step(claim_job(job_ids[-1]), 1, validation__loss=loss)
    page = visitor.open("/compare?" + "&".join(f"job={job_id}" for job_id in job_ids))
    expect(page.locator("#runs .best")).to_have_text(["0.4", "0.8"])
    page.get_by_label("Dataset").select_option("large@1")
    expect(page.locator("#runs tbody tr")).to_have_count(2)
    expect(page.locator("#runs .best")).to_have_text(["0.8"])
    visitor.assert_calm()


def test_a_finished_job_leads_to_its_model(visitor: Visitor, content: Path, tmp_path: Path) -> None:
    register(shades(tmp_path / "model"), name="finished", report={"task": "image_classification"})
    with transaction() as session:
        job_id = models.version(session, "finished@1").job_id
    page = visitor.open(f"/jobs/{job_id}")
    assert page.get_by_role("link", name="Read the report").get_attribute("href") == f"/jobs/{job_id}/report"
    page.get_by_role("link", name="Try it").last.click()
    page.wait_for_url("**/try?model=finished%401")
    page.get_by_role("link", name="About this model").click()
    page.get_by_role("link", name="report", exact=True).click()
    page.wait_for_url(f"**/jobs/{job_id}/report")
    visitor.assert_calm()


def test_a_failed_job_is_tried_again_where_the_api_offers_it(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    claim = claim_job(queue_job(model="again"))
    with transaction() as session:
        jobs.fail(session, claim, error={"code": "crashed", "message": "it crashed", "hint": None})
    page = visitor.open(f"/jobs/{claim.job_id}")
    expect(page.locator("#about .badge")).to_have_text("failed")
    offers = page.locator("#job").get_attribute("data-offers") or ""
    expect(page.get_by_role("button", name="Try again")).to_have_count(int("retry" in offers))
    expect(page.get_by_role("button", name="Run with changes")).to_have_count(int("clone" in offers))
    if "clone" in offers:
        page.get_by_role("button", name="Run with changes").click()
        page.get_by_role("textbox", name="Changes").fill("schedule.epochs")
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#message")).to_contain_text('"schedule.epochs" has no value')
    visitor.assert_accessible()
    visitor.assert_calm()


def test_an_export_has_its_download_and_no_curves(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    with transaction() as session:
        spec = {"kind": "export", "model": "exported@3", "format": "onnx"}
        job_id = jobs.submit(session, kind="export", spec=spec, model_name=None).id
    claim = claim_job(job_id)
    with transaction() as session:
        jobs.succeed(session, claim, reason="completed")
    page = visitor.open(f"/jobs/{job_id}")
    link = page.get_by_role("link", name="Download exported-3-onnx.zip")
    expect(link).to_have_attribute("href", "/api/v1/models/exported/versions/3/download?format=onnx")
    expect(page.get_by_role("heading", name="Curves")).to_have_count(0)
    visitor.assert_accessible()
    visitor.assert_calm()


def test_a_search_leads_to_its_report(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    with transaction() as session:
        spec = {"kind": "sweep", "job": {"kind": "finetune", "model": "searched"}}
        job_id = jobs.submit(session, kind="sweep", spec=spec, model_name=None).id
    claim = claim_job(job_id)
    with transaction() as session:
        jobs.succeed(session, claim, report={"task": "image_classification", "metrics": {}}, reason="completed")
    page = visitor.open(f"/jobs/{job_id}")
    expect(page.get_by_role("link", name="Read the report")).to_have_attribute("href", f"/jobs/{job_id}/report")


def test_runs_that_are_equal_are_drawn_clearly_under_the_names_of_reports(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    job_ids = []
    for rate in (0.1, 0.2):
        with transaction() as session:
            spec = {"kind": "pretrain", "dataset": "d@1", "model": "equal", "objective": {"name": "equal"}}
            spec["schedule"] = {"learning_rate": rate}
            job_ids.append(jobs.submit(session, kind="pretrain", spec=spec, model_name="equal").id)
        report_step(claim_job(job_ids[-1]), 1, test__map=0.5)
    page = visitor.open("/compare?" + "&".join(f"job={job_id}" for job_id in job_ids))
    expect(page.locator(".parallel .run.rank-4")).to_have_count(2)
    expect(page.get_by_role("button", name="test mean average precision")).to_be_visible()
    left = page.locator(".parallel .axis-name").first.bounding_box()
    frame = page.locator(".parallel").bounding_box()
    assert left is not None
    assert frame is not None
    assert left["x"] >= frame["x"]
