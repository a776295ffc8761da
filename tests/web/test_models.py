"""Models in a browser: versions, aliases that move and move back, origin, downloads."""

from __future__ import annotations

from pathlib import Path

from tests.support.factories import register, shades
from tests.web.conftest import Visitor, take_screenshot


def test_an_alias_moves_to_a_version_and_back(visitor: Visitor, content: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    for bias in (0.0, 1.0):
        register(shades(tmp_path / f"bias-{bias}", bias=bias), name="moving", report={"task": "image_classification"})
    page = visitor.open("/models")
    page.get_by_role("link", name="moving", exact=True).click()
    expect(page.locator("#versions tr")).to_have_count(2)
    for version in ("1", "2"):
        page.get_by_label("names version").select_option(version)
        page.get_by_role("button", name="Set").click()
        expect(page.locator("#alias-status")).to_have_text(f"production names version {version}.")
    expect(page.locator("#aliases h3")).to_have_text("production: version 2")
    page.get_by_role("button", name="Back to version 1").click()
    expect(page.locator("#aliases h3")).to_have_text("production: version 1")
    expect(page.locator("#version-number")).to_have_text("2")
    page.get_by_role("button", name="moving@1").click()
    expect(page.locator("#version-number")).to_have_text("1")
    with page.expect_download() as download:
        page.get_by_role("link", name="Package (zip)").click()
    assert Path(download.value.path()).read_bytes().startswith(b"PK")
    visitor.assert_fits()
    visitor.assert_accessible()
    visitor.assert_calm()
    take_screenshot(page, "model")


def test_a_model_that_does_not_exist_is_reported(visitor: Visitor, content: Path) -> None:
    from playwright.sync_api import expect

    page = visitor.open("/models/no-such-model")
    expect(page.get_by_role("heading", name="There is no such model")).to_be_visible()
    visitor.assert_accessible()
