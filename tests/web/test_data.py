"""Data in a browser: files are dropped, sent in parts, checked, and shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from plinth.client.errors import DatasetRejected
from tests.support.factories import png
from tests.support.stack import RunningStack
from tests.web.conftest import Visitor, take_screenshot, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Request, Route

pytestmark = pytest.mark.process

MARKUP = "<img src=x onerror=alert(1)>"
#: Size of a part of an upload, as in upload.js.
PART_BYTES = 8 << 20


@pytest.fixture
def new_window(chromium: Browser, stack: RunningStack) -> Iterator[Callable[..., Visitor]]:
    """Opens windows on a service with a worker."""
    contexts: list[BrowserContext] = []

    def new(width: int = 1280, **options: Any) -> Visitor:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        return visit(context, stack.url, stack.api_key)

    yield new
    for context in contexts:
        context.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of two classes in folders."""
    for name, brightness in (("dark", 20), ("light", 220)):
        (tmp_path / "rooms" / name).mkdir(parents=True)
        for index in range(12):
            (tmp_path / "rooms" / name / f"{index}.png").write_bytes(png(brightness + index))
    (tmp_path / "rooms" / ".DS_Store").write_bytes(b"\0")
    return tmp_path / "rooms"


def test_a_folder_becomes_a_dataset_with_its_classes_and_images(
    new_window: Callable[..., Visitor], folder: Path
) -> None:
    from playwright.sync_api import expect

    visitor = new_window()
    page = visitor.open("/data")
    page.get_by_label("Choose a folder").set_input_files(folder)
    expect(page.locator("#chosen")).to_have_text("24 files")
    expect(page.get_by_label("Name")).to_have_value("rooms")
    visitor.assert_accessible()
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/data/ds_*")
    expect(page.locator(".badge").first).to_have_text("ready", timeout=60_000)
    expect(page.locator("#guess")).to_contain_text("image classification; read as class folders")
    expect(page.locator("#classes")).to_contain_text("light")
    expect(page.locator("#rows img").first).to_be_visible()
    expect(page.locator("#rows .target").first).to_have_text(re.compile("dark|light"))
    visitor.assert_fits()
    visitor.assert_accessible()
    take_screenshot(page, "dataset")
    page.get_by_role("link", name="Train on it").click()
    expect(page.locator("#plan")).to_contain_text("rows to learn from")
    expect(page.get_by_label("Name of the model")).to_have_value("rooms")
    visitor.assert_accessible()
    take_screenshot(page, "train")
    visitor.assert_calm()


def test_the_form_of_a_training_shows_what_will_be_used_and_fitting_tasks_first(
    new_window: Callable[..., Visitor], stack: RunningStack, folder: Path
) -> None:
    from playwright.sync_api import expect

    with stack.client() as plinth:
        plinth.datasets.wait(plinth.datasets.upload(folder, name="formed").id)
    visitor = new_window(360)
    page = visitor.open("/train?dataset=formed@1")
    expect(page.locator("#plan .tiles")).to_contain_text("batch size")
    page.get_by_text("More settings", exact=True).click()
    for field in ("Epochs", "Batch size", "Learning rate"):
        expect(page.get_by_label(field)).to_have_attribute("placeholder", re.compile("[0-9]"))
    expect(page.locator("#task > option")).to_have_text(["image classification", "image generation"])
    expect(page.locator("#task optgroup[label='Other tasks'] option").first).to_have_text("audio classification")
    visitor.assert_fits()
    visitor.assert_accessible()


def test_findings_stand_beside_their_rows_and_markup_stays_text(
    new_window: Callable[..., Visitor], stack: RunningStack, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    table = tmp_path / "notes.csv"
    rows = [f'"{MARKUP} number {index}",{"good" if index % 2 else "bad"}' for index in range(30)]
    table.write_text("\n".join(["text,label", *rows, rows[0], rows[1]]) + "\n")
    with stack.client() as plinth:
        dataset = plinth.datasets.wait(plinth.datasets.upload(table, name="markup").id)
    visitor = new_window(360, color_scheme="dark")
    page = visitor.open(f"/data/{dataset.id}")
    expect(page.locator("#rows .text").first).to_contain_text(MARKUP)
    expect(page.locator("#findings")).to_contain_text("duplicate")
    assert page.locator("#rows img").count() == 0
    page.locator("#findings button", has_text="same text").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".text").first).to_contain_text(MARKUP)
    expect(dialog).to_contain_text(re.compile("row [0-9]+ of the [a-z]+ split"))
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert "duplicate" in Path(download.value.path()).read_text()
    visitor.assert_fits()
    visitor.assert_accessible()
    visitor.assert_calm()
    take_screenshot(page, "dataset narrow dark")


def test_refused_data_says_why_and_what_to_do(new_window: Callable[..., Visitor], tmp_path: Path) -> None:
    from playwright.sync_api import expect

    broken = tmp_path / "cut-off.zip"
    broken.write_bytes(b"PK\3\4 cut off")
    visitor = new_window()
    page = visitor.open("/data")
    page.get_by_label("Choose files").set_input_files(broken)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/data/ds_*")
    expect(page.get_by_role("heading", name="This data was refused")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("link", name="Upload it again")).to_be_visible()
    visitor.assert_accessible()


def test_an_upload_continues_after_a_reload_where_it_stopped(
    new_window: Callable[..., Visitor], tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    table = tmp_path / "large.csv"
    line = "a line of text that repeats until the file has more than one part,{}\n"
    table.write_text("text,label\n" + "".join(line.format("ab"[index % 2]) for index in range(140_000)))
    assert PART_BYTES < table.stat().st_size < 2 * PART_BYTES
    visitor = new_window()
    page = visitor.open("/data")
    offsets: list[int] = []

    def block(route: Route) -> None:
        if route.request.method == "PATCH":
            route.abort()
        else:
            route.continue_()

    def note(request: Request) -> None:
        if request.method in ("POST", "PATCH") and "/uploads" in request.url:
            offsets.append(int(request.headers.get("upload-offset", "0")))

    page.route("**/api/v1/uploads/*", block)
    page.get_by_label("Choose files").set_input_files(table)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#progress .sub")).to_contain_text("8.39 MB of")
    page.unroute("**/api/v1/uploads/*", block)
    page.reload()
    page.on("request", note)
    page.get_by_label("Choose files").set_input_files(table)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/data/ds_*", timeout=120_000)
    assert offsets == [PART_BYTES]


def test_bad_rows_are_left_out_at_a_click(new_window: Callable[..., Visitor], folder: Path) -> None:
    from playwright.sync_api import expect

    cut = folder / "dark" / "3.png"
    cut.write_bytes(cut.read_bytes()[:40])
    visitor = new_window()
    page = visitor.open("/data")
    page.get_by_label("Choose a folder").set_input_files(folder)
    page.get_by_label("Name").fill("cut")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/data/ds_*")
    expect(page.get_by_role("heading", name="This data was refused")).to_be_visible(timeout=60_000)
    visitor.assert_accessible()
    page.get_by_role("button", name="Make this version").first.click()
    expect(page.get_by_role("heading", name="cut@2")).to_be_visible(timeout=30_000)
    expect(page.locator(".badge").first).to_have_text("ready", timeout=60_000)
    expect(page.locator("#facts")).to_contain_text("23 rows")


def test_columns_are_chosen_anew_beside_the_first_rows(
    new_window: Callable[..., Visitor], stack: RunningStack, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    table = tmp_path / "rooms.csv"
    rows = [f"{number / 7:.2f},{number / 3:.2f},{number * number / 11:.3f}" for number in range(40)]
    table.write_text("\n".join([f"width,{MARKUP},height", *rows]))
    with stack.client() as plinth:
        dataset = plinth.datasets.upload(table, name="rooms-table")
        with pytest.raises(DatasetRejected):
            plinth.datasets.wait(dataset.id)
    visitor = new_window()
    page = visitor.open(f"/data/{dataset.id}")
    expect(page.locator("#columns-head")).to_contain_text(MARKUP)
    expect(page.locator("#columns-rows tr").first).to_contain_text("0.00")
    page.get_by_label("Task").select_option("tabular regression")
    page.get_by_label("Column height").select_option("value")
    visitor.assert_fits()
    visitor.assert_accessible()
    take_screenshot(page, "columns")
    page.get_by_role("button", name="Read it again").click()
    expect(page.get_by_role("heading", name="rooms-table@2")).to_be_visible(timeout=30_000)
    expect(page.locator("#facts .badge")).to_have_text("ready", timeout=60_000)
    expect(page.get_by_label("Column height")).to_have_value("value")
    expect(page.get_by_label("Column width")).to_have_value("features")
    expect(page.locator("#origin")).to_contain_text("Made from rooms-table@1: read again.")
    visitor.assert_calm()
