"""Images with boxes in a browser: labels, a closer look, unreadable files."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.web import static_files
from ml.data.importing.importer import import_dataset
from store import datasets, jobs
from store.blobs import blobs
from store.database import transaction
from tests.app.datasets.test_datasets import finish_queued_validation
from tests.support.factories import claim_job, queue_job, register, shades
from tests.web.conftest import Visitor, take_screenshot

WIDTH, HEIGHT = 640, 480
#: Small boxes near each other and at the edges: left, top, width, height.
BOXES = [(300, 200, 14, 14), (318, 212, 14, 14), (622, 300, 14, 14), (2, 2, 14, 14)]
REPORT: dict[str, Any] = {
    "task": "object_detection",
    "split": "test",
    "rows": 4,
    "metrics": {"map": 0.3},
    "errors": [
        {"index": 0, "error": "false_box", "predicted": "ring", "confidence": 0.75, "box": [40, 300, 60, 320]},
        {"index": 0, "error": "missed", "label": "nodule", "box": [300, 200, 314, 214]},
    ],
}


def scan() -> bytes:
    content = io.BytesIO()
    Image.effect_noise((WIDTH, HEIGHT), 40).save(content, "png")
    return content.getvalue()


@pytest.fixture
def scans(content: Path, tmp_path: Path) -> str:
    """A dataset of large images with small boxes."""
    images = [{"id": index, "file_name": f"{index}.png", "width": WIDTH, "height": HEIGHT} for index in range(12)]
    annotations = [
        {"id": 10 * image["id"] + place, "image_id": image["id"], "category_id": 1 + place % 2, "bbox": box}
        for image in images
        for place, box in enumerate(BOXES)
    ]
    categories = [{"id": 1, "name": "nodule"}, {"id": 2, "name": "ring"}]
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        document = {"images": images, "annotations": annotations, "categories": categories}
        archive.writestr("annotations.json", json.dumps(document))
        for image in images:
            archive.writestr(f"images/{image['file_name']}", scan())
    imported = import_dataset([tmp_path / "scans.zip"], tmp_path / "dataset", task="object_detection")
    assert imported.summary is not None
    with transaction() as session:
        dataset_id = datasets.create(session, name="scans", sources=[]).id
    blobs().put_tree(f"datasets/{dataset_id}", tmp_path / "dataset")
    finish_queued_validation(ready=True, summary=imported.summary.model_dump(mode="json"))
    return dataset_id


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_a_click_enlarges_a_image_and_a_click_on_an_object_shows_it_large(
    new_visitor: Callable[..., Visitor], scans: str, width: int, scheme: str
) -> None:
    from playwright.sync_api import expect

    visitor = new_visitor(width, color_scheme=scheme)
    page = visitor.open(f"/data/{scans}")
    drawing = page.locator("#rows .image svg").first
    expect(drawing.locator("rect")).to_have_count(len(BOXES))
    drawing.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("tbody tr")).to_have_count(len(BOXES))
    dialog.get_by_role("button", name="ring 2").click()
    expect(dialog.locator("rect").nth(1)).to_be_in_viewport()
    frame = dialog.locator("rect").nth(1).bounding_box()
    assert frame is not None
    assert frame["width"] > 100
    visitor.assert_fits()
    visitor.assert_accessible()
    take_screenshot(page, f"image {width} {scheme}")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    visitor.assert_calm()


def test_labels_lie_inside_the_image_and_cover_no_box(visitor: Visitor) -> None:
    page = visitor.open("/jobs")
    boxes = [{"left": x, "top": y, "right": x + width, "bottom": y + height} for x, y, width, height in BOXES]
    area = {"width": WIDTH, "height": HEIGHT}
    code = "async ([url, ...arguments_]) => (await import(url)).placeLabels(...arguments_)"
    label_width, label_height = 80, 20
    places = page.evaluate(
        code, [static_files.url("rows/labels.js"), boxes, [label_width] * len(boxes), label_height, area]
    )
    labels = [
        {
            "left": item["left"],
            "top": item["top"],
            "right": item["left"] + label_width,
            "bottom": item["top"] + label_height,
        }
        for item in places
    ]
    for index, label in enumerate(labels):
        assert min(label["left"], label["top"]) >= 0
        assert label["right"] <= WIDTH
        assert label["bottom"] <= HEIGHT
        for item in [*boxes, *labels[:index]]:
            is_apart = label["right"] <= item["left"] or item["right"] <= label["left"]
            assert is_apart or label["bottom"] <= item["top"] or item["bottom"] <= label["top"]


def test_detected_objects_are_listed_with_confidence_and_place(visitor: Visitor) -> None:
    from playwright.sync_api import expect

    page = visitor.open("/jobs")
    objects = [{"label": "nodule", "confidence": 0.643, "box": [10.2, 20.4, 30, 40]}]
    source = f"data:image/png;base64,{base64.b64encode(scan()).decode()}"
    code = """async ([url, objects, source]) =>
        document.querySelector("main").replaceChildren(...(await import(url)).answer({ objects }, source))"""
    page.evaluate(code, [static_files.url("rows/values.js"), objects, source])
    row = page.get_by_role("row").nth(1)
    expect(row).to_contain_text("nodule")
    expect(row).to_contain_text("64 %")
    expect(row).to_contain_text("10 to 30 from left, 20 to 40 from top")
    expect(page.locator("svg .box-label")).to_have_text("nodule 64 %")


def test_a_report_says_which_box_a_mistake_is_and_shows_it_large(visitor: Visitor, scans: str) -> None:
    from playwright.sync_api import expect

    claim = claim_job(queue_job(dataset_id=scans))
    with transaction() as session:
        jobs.succeed(session, claim, report=REPORT, reason="completed")
    page = visitor.open(f"/jobs/{claim.job_id}/report")
    cards = page.locator(".mistake")
    expect(cards.first).to_contain_text("False box: ring, 75")
    expect(cards.first.locator(".row-image .answer-box")).to_have_count(1)
    expect(cards.nth(1)).to_contain_text("Missed: nodule")
    expect(cards.nth(1).locator(".row-image .missed-box")).to_have_count(1)
    cards.nth(1).locator(".row-detail").click()
    dialog = page.get_by_role("dialog", name="Missed: nodule")
    expect(dialog.locator("svg image")).to_be_visible()
    dialog.get_by_role("button", name="Larger").click()
    visitor.assert_accessible()
    visitor.assert_calm()


def test_a_image_that_the_browser_cannot_show_is_said_to_be_read(
    visitor: Visitor, content: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    register(shades(tmp_path / "model"), name="unshown")
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    page = visitor.open("/try?model=unshown")
    page.get_by_label("Choose a file for image").set_input_files(tmp_path / "photo.heic")
    expect(page.locator("#widgets")).to_contain_text("photo.heic is read, but this browser cannot show it.")
    expect(page.locator("#widgets img")).to_have_count(0)
