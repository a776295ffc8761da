"""The page of clients says what tests run, at the installed versions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest

from tools.build_clients import PAGE, MarkedClient, marked_clients, page, version_of


def test_the_page_is_what_the_marks_of_the_tests_say() -> None:
    assert PAGE.read_text() == page(), "run: make reference"


def test_clients_that_are_installed_have_the_version_of_the_page() -> None:
    compared = 0
    for client in marked_clients():
        try:
            installed = version(client.package)
        except PackageNotFoundError:
            continue  # in a folder of its own, at the version of its dependency group
        assert installed == version_of(client), client
        compared += 1
    assert compared


def test_a_client_without_a_pin_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing-such has no pinned version"):
        version_of(MarkedClient("a client", "nothing-such", "a call", "tests/tools/test_build_clients.py"))
