"""Sessions of browsers: login, links that sign in once, and what a cookie may do."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.app.conftest import KEY
from tests.app.jobs.test_jobs import ready_dataset

HTML = {"Accept": "text/html"}
SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def browser(client: TestClient) -> TestClient:
    """A client that sends no key, and follows no redirect."""
    del client.headers["Authorization"]
    client.follow_redirects = False
    return client


def log_in(browser: TestClient, key: str = KEY, **fields: str) -> None:
    response = browser.post("/login", data={"key": key, **fields}, headers=SAME)
    assert response.status_code == 303, response.text


def test_a_key_signs_in_with_a_cookie_that_scripts_and_other_sites_cannot_use(browser: TestClient, home: Path) -> None:
    response = browser.post("/login", data={"key": f" {KEY} ", "next": "/jobs?state=running"}, headers=SAME)
    assert (response.status_code, response.headers["location"]) == (303, "/jobs?state=running")
    cookie = response.headers["set-cookie"]
    assert re.match(r"plinth_session=\S{40,}; ", cookie)
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=604800"):
        assert attribute in cookie
    token = cookie.partition("=")[2].partition(";")[0]
    assert token not in "".join(sqlite3.connect(home / "plinth.db").iterdump()), "the database holds a hash"
    assert browser.get("/").status_code == 200
    assert browser.get("/api/v1/jobs").status_code == 200


def test_a_wrong_key_is_refused_on_the_page(browser: TestClient) -> None:
    response = browser.post("/login", data={"key": "<b>wrong</b>"}, headers=SAME)
    assert response.status_code == 403
    assert "unknown, expired or revoked" in response.text
    assert "<b>wrong" not in response.text
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "jobs", "/a\r\nX: y"])
def test_login_continues_within_this_service_only(browser: TestClient, target: str) -> None:
    response = browser.post("/login", data={"key": KEY, "next": target}, headers=SAME)
    assert response.headers["location"] == "/"


def test_a_link_signs_in_once(browser: TestClient) -> None:
    created = browser.post("/login/links", headers={"Authorization": f"Bearer {KEY}"})
    assert created.status_code == 201
    path = created.json()["path"]
    assert browser.get(path).status_code == 303
    assert browser.get("/api/v1/jobs").status_code == 200
    browser.cookies.clear()
    used = browser.get(path)
    assert used.status_code == 403
    assert "used or has expired" in used.text
    assert browser.get("/api/v1/jobs").status_code == 401


def test_a_link_needs_a_key_and_not_a_session(browser: TestClient) -> None:
    assert browser.post("/login/links", headers=SAME).status_code == 401
    log_in(browser)
    assert browser.post("/login/links", headers=SAME).status_code == 401


def test_the_token_of_a_link_is_no_session_and_that_of_a_session_no_link(browser: TestClient) -> None:
    path = browser.post("/login/links", headers={"Authorization": f"Bearer {KEY}"}).json()["path"]
    browser.cookies.set("plinth_session", path.partition("=")[2])
    assert browser.get("/api/v1/jobs").status_code == 401
    browser.cookies.clear()
    log_in(browser)
    token = browser.cookies["plinth_session"]
    browser.cookies.clear()
    assert browser.get("/login", params={"token": token}).status_code == 403


@pytest.mark.parametrize("setting", ["session_seconds", "sign_in_link_seconds"])
def test_sessions_and_links_expire(new_client: Callable[..., TestClient], setting: str) -> None:
    client = new_client(**{setting: 1e-6}, key_cache_seconds=0)
    client.follow_redirects = False
    link = client.post("/login/links").json()["path"]
    del client.headers["Authorization"]
    if setting == "session_seconds":
        log_in(client)
        assert client.get("/api/v1/jobs").status_code == 401
    else:
        assert client.get(link).status_code == 403


def test_a_session_ends_with_its_key(client: TestClient) -> None:
    key = client.post("/api/v1/keys", json={"name": "laptop"}).json()
    client.follow_redirects = False
    log_in(client, key["secret"])
    bearer = client.headers.pop("Authorization")
    assert client.get("/api/v1/jobs").status_code == 200
    assert client.delete(f"/api/v1/keys/{key['id']}", headers={"Authorization": bearer}).status_code == 204
    assert client.get("/api/v1/jobs").status_code == 401
    assert client.get("/jobs").headers["location"] == "/login?next=%2Fjobs"


def test_signing_out_ends_the_session_for_who_has_the_cookie(browser: TestClient) -> None:
    log_in(browser)
    token = browser.cookies["plinth_session"]
    assert browser.post("/logout", headers=SAME).headers["location"] == "/login"
    browser.cookies.set("plinth_session", token)
    assert browser.get("/api/v1/jobs").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "http://localhost"}, 201),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
def test_a_cookie_changes_things_from_pages_of_this_service_only(
    browser: TestClient, headers: dict[str, str], status: int
) -> None:
    log_in(browser)
    response = browser.post("/api/v1/keys", json={"name": "a"}, headers=headers)
    assert response.status_code == status, response.text
    assert browser.get("/api/v1/keys", headers=headers).status_code == 200


def test_a_forged_login_form_of_another_site_is_refused(browser: TestClient) -> None:
    response = browser.post("/login", data={"key": KEY}, headers={"Origin": "http://evil.example"})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


def test_services_on_two_ports_of_a_host_have_a_cookie_each(browser: TestClient) -> None:
    headers = {**SAME, "Host": "127.0.0.1:8001"}
    cookie = browser.post("/login", data={"key": KEY}, headers=headers).headers["set-cookie"]
    assert cookie.startswith("plinth_session_8001=")


def test_a_large_form_is_refused(browser: TestClient) -> None:
    assert browser.post("/login", data={"key": "x" * 10_000}, headers=SAME).status_code == 413


def test_the_page_of_an_unknown_resource_says_so(browser: TestClient) -> None:
    log_in(browser)
    ready_dataset("shades")
    response = browser.get("/jobs/job_0", headers=HTML)
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
