"""Pages, their files, and unknown addresses."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from markupsafe import escape
from starlette.testclient import TestClient

from app.web import rendering, static_files
from app.web.view import navigation, views
from app.web.views.home import samples
from ml.data.importing.importer import import_dataset
from plinth.installation import install_command

HTML = {"Accept": "text/html,*/*;q=0.8"}
#: Views whose address has no parameter.
PLAIN = sorted(view.path for view in views().values() if "{" not in view.path)


@pytest.mark.parametrize("path", PLAIN)
def test_a_view_needs_a_session_and_runs_nothing_inline(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|https?://|src=\"data:", page.text)
    assert page.text.count("<h1") == 1
    for file in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
        assert client.get(file).status_code == 200, file
    client.follow_redirects = False
    refused = client.get(path, headers={"Authorization": ""})
    assert refused.status_code == 303
    assert refused.headers["location"].startswith("/login?next=")


def test_the_answer_to_a_program_that_requests_a_page_names_the_api(client: TestClient) -> None:
    answer = client.get("/models", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_path")
    # Clients of OpenAI, whose address lacks the end, read `error.message`.
    assert "ends in /v1" in answer.json()["error"]["message"]


def test_the_command_that_installs_the_server_fits_this_installation(client: TestClient) -> None:
    assert f'data-install="{escape(install_command("server"))}"' in client.get("/").text
    for file in (*static_files.FOLDER.rglob("*.js"), *rendering.TEMPLATES.rglob("*.html")):
        assert "pip install" not in file.read_text(), file


def test_the_navigation_names_pages_that_exist(client: TestClient) -> None:
    assert navigation()[0].path == "/"
    for view in navigation():
        assert client.get(view.path).status_code == 200


@pytest.mark.parametrize("path", ["/nope", "/redoc", "/jobs/a/b/c", "/static/nothing.js", "/api/v1/nope", "/api/v1"])
@pytest.mark.parametrize("authorization", ["", "Bearer wrong"])
def test_unknown_paths_are_not_found_without_a_key(client: TestClient, path: str, authorization: str) -> None:
    response = client.get(path, headers={"Authorization": authorization})
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "no_such_path"


def test_a_browser_gets_a_page_for_an_unknown_address(client: TestClient) -> None:
    page = client.get("/nope", headers=HTML)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no page at this address" in page.text
    assert client.get("/api/v1/nope", headers=HTML).headers["content-type"] == "application/problem+json"


def test_the_docs_answer_with_a_slash_and_the_icon_at_its_usual_place(client: TestClient) -> None:
    assert client.get("/docs/", headers={"Authorization": ""}).status_code == 200
    icon = client.get("/favicon.ico", headers={"Authorization": ""})
    assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml")


def test_files_are_kept_by_browsers_only_at_the_address_of_their_content(client: TestClient) -> None:
    (script,) = re.findall(r'src="(/static/web/[^"]+/home\.js)"', client.get("/").text)
    assert "immutable" in client.get(script).headers["cache-control"]
    older = re.sub(r"/web/[^/]+/", "/web/000000000000/", script)
    assert client.get(older).headers["cache-control"] == "no-store"
    assert client.get(script.replace("home.js", "..%2froutes.py")).status_code == 404


def test_the_first_page_imports_jinja_and_the_start_does_not() -> None:
    code = "import sys, app.main; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("name", sorted(samples()))
def test_a_sample_is_a_dataset_without_a_problem(client: TestClient, tmp_path: Path, name: str) -> None:
    response = client.get(f"/samples/{name}.zip")
    assert response.headers["content-type"] == "application/zip"
    assert zipfile.ZipFile(io.BytesIO(response.content)).testzip() is None
    archive = tmp_path / f"{name}.zip"
    archive.write_bytes(response.content)
    report = import_dataset([archive], tmp_path / "dataset", task=samples()[name].task)
    assert report.state == "ready"
    assert not [issue for issue in report.errors if issue.severity == "error"]
    assert report.splits["test"] >= 40
    assert client.get("/samples/nothing.zip").status_code == 404
