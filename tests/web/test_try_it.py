"""Models are asked in a browser: by a drawing, a file, a microphone, a text."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ml.data.files.audio import decode
from ml.encoders import ENCODERS
from tests.support.api_process import ApiProcess
from tests.support.factories import embedder, png, register, shades, writer
from tests.support.ml import samples
from tests.web.conftest import Visitor, take_screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page


MARKUP = "<b onload=x>Wild Herbs"


def ask(page: Page) -> None:
    page.get_by_role("button", name="Ask", exact=True).click()


def test_a_file_is_answered_with_bars_and_two_models_beside_each_other(
    visitor: Visitor, content: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    register(shades(tmp_path / "a"), name="shades-a")
    register(shades(tmp_path / "b", bias=-30.0), name="shades-b")
    (tmp_path / "light.png").write_bytes(png(250))
    page = visitor.open("/try?model=shades-a")
    ask(page)
    expect(page.locator("#status")).to_contain_text("first")
    page.get_by_label("Beside it").select_option("shades-b")
    page.get_by_label("Choose a file for image").set_input_files(tmp_path / "light.png")
    expect(page.locator("#widgets img")).to_be_visible()
    ask(page)
    expect(page.locator(".verdict")).to_have_text(["light", "dark"])
    expect(page.locator(".bars").first).to_contain_text("100.0 %")
    visitor.assert_fits()
    visitor.assert_accessible()
    visitor.assert_calm()
    take_screenshot(page, "try it")


@pytest.mark.parametrize(("is_inverted", "label"), [(True, "dark"), (False, "light")])
def test_a_drawing_is_sent_as_it_is_or_white_on_black(
    visitor: Visitor, content: Path, tmp_path: Path, is_inverted: bool, label: str
) -> None:
    from playwright.sync_api import expect

    register(shades(tmp_path / "model"), name="drawn")
    page = visitor.open("/try?model=drawn")
    page.get_by_role("button", name="Draw").click()
    page.get_by_label("white on black").set_checked(is_inverted)
    frame = page.locator("canvas").bounding_box()
    assert frame is not None
    page.mouse.move(frame["x"] + 60, frame["y"] + 60)
    page.mouse.down()
    page.mouse.move(frame["x"] + 90, frame["y"] + 150, steps=5)
    page.mouse.up()
    ask(page)
    expect(page.locator(".verdict")).to_have_text(label)


def test_a_text_is_streamed_and_the_code_does_the_same(
    visitor: Visitor, service: ApiProcess, content: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    register(writer(tmp_path / "model"), name="writer")
    page = visitor.open("/try?model=writer")
    page.get_by_label("prompt").fill("a")
    page.get_by_text("Settings").click()
    page.get_by_label("max new tokens").fill("6")
    page.get_by_role("spinbutton", name=re.compile("^temperature")).fill("0")
    ask(page)
    expect(page.locator(".verdict-text")).not_to_be_empty()
    text = page.locator(".verdict-text").inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download input.json").click()
    download.value.save_as(tmp_path / "input.json")
    page.get_by_role("button", name="Python").click()
    code = page.locator("#code").inner_text()
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PLINTH_API_KEY": service.key, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert repr(text) in run.stdout
    visitor.assert_accessible()


def test_a_microphone_clip_is_sent_as_wav(visitor: Visitor, content: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    encoder = ENCODERS["log_mel"].learn([decode(clip) for clip in samples.VALUES["audio"](8)], {})
    register(embedder(tmp_path / "model", "audio", encoder), name="listener")
    page = visitor.open("/try?model=listener")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.wait_for_timeout(600)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("audio")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download input.json").click()
    clip = base64.b64decode(json.loads(Path(download.value.path()).read_bytes())["inputs"][0]["audio"])
    assert clip[:4] == b"RIFF"
    assert len(clip) > 10_000


def test_refusals_are_shown_with_what_to_do(visitor: Visitor, content: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    register(shades(tmp_path / "model"), name="strict")
    (tmp_path / "broken.png").write_bytes(png(9)[:40])
    page = visitor.open("/try?model=strict")
    page.get_by_label("Choose a file for image").set_input_files(tmp_path / "broken.png")
    ask(page)
    expect(page.locator("#answers [role=alert]")).to_be_visible()
    text = page.locator("#answers [role=alert]").inner_text()
    assert text.lower().startswith("image: ")
    sentences = text.split(". ")
    assert len(set(sentences)) == len(sentences)


def test_drawings_are_offered_first_only_to_models_of_gray_images(
    visitor: Visitor, content: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    for name, color in (("gray", (255,)), ("photos", (255, 200, 100))):
        image = np.full((8, 8, len(color)), color, dtype=np.uint8)
        register(embedder(tmp_path / name, "image", ENCODERS["image"].learn([image], {})), name=name)
    page = visitor.open("/try?model=gray")
    expect(page.get_by_role("button", name="Draw")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("white on black")).to_be_checked()
    visitor.assert_accessible()
    page.locator("#model").select_option("photos")
    expect(page.get_by_role("button", name="Image", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("canvas")).to_be_hidden()
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_label("white on black")).not_to_be_checked()
    page.get_by_role("button", name="Image", exact=True).click()
    page.get_by_role("button", name="Take a photo").click()
    page.get_by_role("button", name="Use this photo").click()
    expect(page.locator("#widgets img")).to_be_visible()
    visitor.assert_calm()


def test_items_are_picked_by_a_part_of_their_name(visitor: Visitor, content: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    histories = [["Night Trains", MARKUP, "Paper Boats"], ["Night Trains", "Stone Walls"]]
    register(embedder(tmp_path / "model", "history", ENCODERS["items"].learn(histories, {})), name="shop")
    page = visitor.open("/try?model=shop")
    page.get_by_label("Find an item").fill("boat")
    expect(page.get_by_label("Matching items").get_by_role("button")).to_have_text(["Paper Boats"])
    page.keyboard.press("Enter")
    page.get_by_role("button", name=MARKUP, exact=True).click()
    expect(page.get_by_label("history").locator("li")).to_have_text(["Paper Boats\u00d7", f"{MARKUP}\u00d7"])
    page.get_by_role("button", name="Remove Paper Boats").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download input.json").click()
    assert json.loads(Path(download.value.path()).read_bytes())["inputs"][0]["history"] == [MARKUP]
    visitor.assert_accessible()
    visitor.assert_calm()


def test_two_versions_answer_beside_each_other(visitor: Visitor, content: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    for bias in (0.0, -30.0):
        register(shades(tmp_path / f"bias{bias}", bias=bias), name="versions")
    (tmp_path / "light.png").write_bytes(png(250))
    page = visitor.open("/try?model=versions")
    page.get_by_label("Beside it").select_option("versions@1")
    page.get_by_label("Choose a file for image").set_input_files(tmp_path / "light.png")
    expect(page.locator("#widgets img")).to_be_visible()
    ask(page)
    expect(page.locator("#answers h3")).to_have_text(["versions", "versions@1"])
    expect(page.locator(".verdict")).to_have_text(["dark", "light"])
