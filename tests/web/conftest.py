"""A real Chromium on a real service.

This folder mirrors none: `tests/app/web` tests the routes and views of `app.web`, and the files here follow a page
through its script, the service and the store, so they are named as the pages are.

Tests are skipped with a reason where there is no Chromium or no playwright.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from plinth import Plinth
from tests.support.api_process import ApiProcess
from tests.support.settings import forget_settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

FLAGS: Final = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic", "--no-first-run", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]  # fmt: skip
#: Folder for screenshots of all views; none are taken without it.
SCREENSHOTS: Final = os.environ.get("PLINTH_SCREENSHOTS")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the tests of a file.

    The event loop of playwright must not outlive them in this process.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium: install it with `apt-get install chromium`")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright: install it with `make setup`")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """A signed-in browser window, with its requests and complaints."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Open a page of the service."""
        self.page.goto(self.url + path)
        return self.page

    def assert_calm(self) -> None:
        """No request went to another host, and no script or resource failed."""
        others = [url for url in self.requests if not url.startswith((self.url, "data:", "blob:"))]
        assert others == []
        assert self.complaints == []

    def assert_accessible(self) -> None:
        """Axe, with all its rules, reports nothing on the page as it is."""
        from axe_playwright_python.sync_playwright import Axe

        results = Axe().run(self.page)
        findings = [
            (item["id"], node["html"][:200]) for item in results.response["violations"] for node in item["nodes"]
        ]
        assert findings == []

    def assert_fits(self) -> None:
        """Nothing makes the page wider than the window."""
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def visit(context: BrowserContext, url: str, key: str) -> Visitor:
    """Sign in by a link, and record what the window does from then on."""
    page = context.new_page()
    page.set_default_timeout(15_000)
    visitor = Visitor(page, url)
    page.on("request", lambda request: visitor.requests.append(request.url))
    page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    page.on("console", lambda message: message.type == "error" and visitor.complaints.append(message.text))
    with Plinth(url, key) as plinth:
        page.goto(plinth.sign_in_link())
    return visitor


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """An API process without workers; tests write the state of jobs as workers would."""
    with ApiProcess(tmp_path_factory.mktemp("web")) as process:
        yield process


@pytest.fixture
def content(service: ApiProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lets `tests.support.factories` write into the service; returns its home folder."""
    for name in ("PLINTH_DATABASE_URL", "PLINTH_REDIS_URL", "PLINTH_BLOB_URL", "PLINTH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLINTH_HOME", str(service.home))
    monkeypatch.setenv("PLINTH_FREE_SPACE_FLOOR_BYTES", "0")
    forget_settings()
    yield service.home
    forget_settings()


@pytest.fixture
def new_visitor(chromium: Browser, service: ApiProcess) -> Iterator[Callable[..., Visitor]]:
    """Opens windows on `service`, with options of a browser context such as `color_scheme`."""
    contexts: list[BrowserContext] = []

    def new(width: int = 1280, **options: Any) -> Visitor:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        return visit(context, f"http://127.0.0.1:{service.port}", service.key)

    yield new
    for context in contexts:
        context.close()


@pytest.fixture
def visitor(new_visitor: Callable[..., Visitor]) -> Visitor:
    return new_visitor()


def take_screenshot(page: Page, name: str) -> None:
    """Keep an image of the whole page where `PLINTH_SCREENSHOTS` names a folder."""
    if SCREENSHOTS:
        folder = Path(SCREENSHOTS)
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.png", full_page=True)
