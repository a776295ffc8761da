"""Webhooks reach public addresses, and private ones only where a setting allows them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from store.settings import StoreSettings
from store.webhooks.addresses import check_url, endpoint_of, is_allowed


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "no address",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not is_allowed(address, [])


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address, [])


def test_a_network_of_the_settings_is_allowed_and_no_other() -> None:
    networks = [ip_network("10.0.0.0/8"), ip_network("::1/128")]
    assert [is_allowed(address, networks) for address in ("10.9.9.9", "::1", "::ffff:10.1.1.1")] == [True] * 3
    assert [is_allowed(address, networks) for address in ("11.0.0.1", "127.0.0.1", "192.168.0.1")] == [
        True,
        False,
        False,
    ]


def test_the_setting_is_checked_at_the_start() -> None:
    settings = StoreSettings(webhook_allowed_networks="10.0.0.0/8, ::1")
    assert [str(network) for network in settings.webhook_networks()] == ["10.0.0.0/8", "::1/128"]
    with pytest.raises(ValueError, match="host bits"):
        StoreSettings(webhook_allowed_networks="10.0.0.1/8")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://example.com/x", "must begin with https"),
        ("example.com/x", "must begin with https"),
        ("https:///x", "the name of a host"),
        ("https://user:word@example.com/", "neither a user nor a fragment"),
        ("https://example.com/#top", "neither a user nor a fragment"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com:99999/", "range"),
        ("http://127.0.0.1/", "not a public address"),
        ("http://localhost:8000/", "not a public address"),
        ("http://a.localhost/", "not a public address"),
        ("http://[::1]/", "not a public address"),
        ("http://[::ffff:169.254.169.254]/", "not a public address"),
        ("https://example.com/a b", "without spaces"),
        ("https://example.com/\n", "without spaces"),
        (f"https://example.com/{'x' * 2000}", "limit 2,000"),
        ("https://exämple.com/", "ASCII"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_reason(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_url(url, [])


def test_a_url_is_taken_apart_for_its_request() -> None:
    check_url("https://example.com/plinth?team=a", [])
    assert endpoint_of("https://example.com/plinth?team=a") == ("https", "example.com", 443, "/plinth?team=a")
    assert endpoint_of("http://[2606:4700::1]:8080") == ("http", "2606:4700::1", 8080, "/")
