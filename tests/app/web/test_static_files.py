"""Files of the page: their addresses, compression and imports."""

from __future__ import annotations

import gzip
import re

import pytest
from starlette.testclient import TestClient

from app.web import static_files
from app.web.view import views

PATH = f"{static_files.PREFIX}/{static_files.digest()}/page.css"


@pytest.mark.parametrize(
    ("accept_encoding", "is_accepted"),
    [
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("GZIP", True),
        ("", False),
        ("br", False),
        ("gzip;q=0, br", False),
        ("gzip; q=0.000", False),
        ("x-gzipped", False),
    ],
)
def test_files_are_compressed_for_those_who_accept_it(
    client: TestClient, accept_encoding: str, is_accepted: bool
) -> None:
    with client.stream("GET", PATH, headers={"Accept-Encoding": accept_encoding}) as response:
        content = b"".join(response.iter_raw())
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.headers.get("content-encoding") == ("gzip" if is_accepted else None)
    assert (gzip.decompress(content) if is_accepted else content) == static_files.files()["page.css"]
    assert response.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("name", sorted(views()))
def test_a_view_loads_less_than_150_kilobytes(name: str) -> None:
    """The module with all its imports, the style sheets and the icon, compressed."""
    modules = [f"views/{name}.js", "shell.js", *static_files.imports_of(f"views/{name}.js")]
    assert sum(len(static_files.compress(file)) for file in {*modules, "page.css", "content.css", "icon.svg"}) < 150_000


@pytest.mark.parametrize("name", sorted(views()))
def test_a_page_names_all_modules_so_that_they_load_side_by_side(client: TestClient, name: str) -> None:
    view = views()[name]
    modules = static_files.imports_of(f"views/{name}.js")
    assert "dom.js" in modules
    assert len(set(modules)) == len(modules)
    if "{" not in view.path:
        text = client.get(view.path).text
        preloaded = re.findall(r'rel="modulepreload" href="/static/web/[0-9a-f]+/([a-z_/]+\.js)"', text)
        assert preloaded == list(modules)


def test_each_module_imports_modules_that_exist() -> None:
    for name, content in static_files.files().items():
        for imported in re.findall(r'from "(\.[^"]+)";', content.decode()):
            assert static_files.resolve(name, imported) in static_files.files(), (name, imported)
