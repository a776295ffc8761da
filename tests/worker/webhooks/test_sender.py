"""The sender with a real HTTP server and the package of Standard Webhooks."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from store.database import transaction
from store.tables import WebhookDelivery
from store.webhooks import deliveries, subscriptions
from store.webhooks.outbox import emit
from tests.support.settings import forget_settings
from tests.support.webhook_receiver import WebhookReceiver
from tests.support.worker.waiting import until
from worker.webhooks import post as post_module
from worker.webhooks.post import PostFailed, post
from worker.webhooks.sender import WebhookSender

LOOPBACK = [ip_network("127.0.0.0/8")]


@pytest.fixture
def home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with an empty database, whose webhooks may reach this machine."""
    monkeypatch.setenv("PLINTH_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    forget_settings()
    return home


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as server:
        yield server


def subscribe(url: str) -> tuple[str, str]:
    """Create a webhook; returns its id and secret."""
    with transaction() as session:
        webhook = subscriptions.create(session, url=url, events=["*"])
        return webhook.id, webhook.secret


def emit_one(**data: Any) -> None:
    with transaction() as session:
        emit(session, "alias.set", {"model": "digits", **data}, model="digits")


def newest(webhook_id: str) -> WebhookDelivery:
    with transaction() as session:
        return deliveries.listing(session, webhook_id, limit=1, cursor=None).items[0]


def make_due() -> None:
    with transaction() as session:
        session.execute(update(WebhookDelivery).values(next_attempt_at=datetime.now(UTC) - timedelta(seconds=1)))


@pytest.mark.usefixtures("home")
def test_a_delivery_is_verified_by_the_package_of_the_scheme(receiver: WebhookReceiver) -> None:
    webhook_id, secret = subscribe(f"{receiver.url}?team=a")
    emit_one(text="größer ☃")
    with WebhookSender():
        until(lambda: newest(webhook_id).state == "delivered")
    (request,) = receiver.requests
    event = Verifier(secret).verify(request.body, request.headers)
    assert event["type"] == "alias.set"
    assert event["data"] == {"model": "digits", "text": "größer ☃"}
    assert request.path == "/events?team=a"
    assert request.headers["webhook-id"] == newest(webhook_id).id
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("Plinth/")
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(request.body.replace(b"digits", b"digitz"), request.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(subscribe(receiver.url)[1]).verify(request.body, request.headers)


@pytest.mark.usefixtures("home")
def test_a_repeated_delivery_has_the_same_id_and_body_and_another_time(receiver: WebhookReceiver) -> None:
    receiver.respond = lambda number: (500, {}) if number == 1 else (200, {})
    webhook_id, secret = subscribe(receiver.url)
    emit_one()
    with WebhookSender():
        until(lambda: newest(webhook_id).last_error)
        assert newest(webhook_id).last_error == "the receiver responded with status 500"
        time.sleep(1.1)
        make_due()
        until(lambda: newest(webhook_id).state == "delivered")
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    assert Verifier(secret).verify(second.body, second.headers) == Verifier(secret).verify(first.body, first.headers)
    assert (newest(webhook_id).attempts, newest(webhook_id).last_status) == (2, 200)


@pytest.mark.process
def test_the_death_of_a_sender_loses_nothing_and_the_repetition_has_the_same_id(
    home: Path, receiver: WebhookReceiver
) -> None:
    """The kill comes after the receiver got the event, before the result is stored."""
    receiver.drip_seconds = 0.2
    webhook_id, secret = subscribe(receiver.url)
    emit_one()
    environment = {**os.environ, "PLINTH_HOME": str(home), "PLINTH_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    process = subprocess.Popen([sys.executable, "-m", "worker.webhooks"], env=environment)
    try:
        until(lambda: receiver.requests)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert (newest(webhook_id).state, newest(webhook_id).attempts) == ("pending", 1)
    receiver.drip_seconds = None
    make_due()  # instead of waiting for the end of the claim
    with WebhookSender():
        until(lambda: newest(webhook_id).state == "delivered")
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    Verifier(secret).verify(second.body, second.headers)


@pytest.mark.process
def test_the_process_that_only_sends_ends_with_sigterm(home: Path, receiver: WebhookReceiver) -> None:
    webhook_id, _ = subscribe(receiver.url)
    emit_one()
    environment = {**os.environ, "PLINTH_HOME": str(home), "PLINTH_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    process = subprocess.Popen([sys.executable, "-m", "worker.webhooks"], env=environment)
    try:
        until(lambda: newest(webhook_id).state == "delivered")
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("home")
def test_two_senders_send_each_event_once(receiver: WebhookReceiver) -> None:
    webhook_id, _ = subscribe(receiver.url)
    for number in range(30):
        emit_one(number=number)
    with WebhookSender(), WebhookSender():

        def is_done() -> bool:
            with transaction() as session:
                return not deliveries.listing(session, webhook_id, limit=1, cursor=None, state="pending").items

        until(is_done)
    assert sorted(json.loads(request.body)["data"]["number"] for request in receiver.requests) == list(range(30))


@pytest.mark.usefixtures("home")
def test_a_redirect_is_not_followed(receiver: WebhookReceiver) -> None:
    receiver.respond = lambda _: (307, {"location": "http://127.0.0.1:1/"})
    webhook_id, _ = subscribe(receiver.url)
    emit_one()
    with WebhookSender():
        until(lambda: newest(webhook_id).last_error)
    assert newest(webhook_id).last_error == "the receiver responded with status 307; redirects are not followed"
    assert len(receiver.requests) == 1


@pytest.mark.usefixtures("home")
def test_a_private_address_gets_no_connection(receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLINTH_WEBHOOK_ALLOWED_NETWORKS")
    forget_settings()
    webhook_id, _ = subscribe(receiver.url)
    emit_one()
    with WebhookSender():
        until(lambda: newest(webhook_id).last_error)
    assert "127.0.0.1, which is not a public address" in (newest(webhook_id).last_error or "")
    assert receiver.requests == []


def test_a_name_that_resolves_to_a_private_address_gets_no_connection(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is checked at the connection, as a second look-up may differ."""
    port = int(receiver.url.rpartition(":")[2].partition("/")[0])
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))
    private = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
    for answer in ([private], [public, private], [private, public]):
        monkeypatch.setattr(post_module.socket, "getaddrinfo", lambda *_, answer=answer, **__: answer)
        with pytest.raises(PostFailed, match=r"rebind\.example\.com resolves to 127\.0\.0\.1"):
            post(f"http://rebind.example.com:{port}/", b"{}", {}, networks=[])
    assert receiver.requests == []


def test_a_connection_goes_to_the_address_that_was_checked(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is resolved once."""
    port, calls = int(receiver.url.rpartition(":")[2].partition("/")[0]), []

    def resolve(*arguments: Any, **_: Any) -> Any:
        calls.append(arguments)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(post_module.socket, "getaddrinfo", resolve)
    assert post(f"http://hooks.example.com:{port}/", b"{}", {}, networks=LOOPBACK).status == 204
    assert len(calls) == 1
    assert receiver.requests[0].headers["host"] == f"hooks.example.com:{port}"


def test_a_response_that_never_ends_is_left(receiver: WebhookReceiver) -> None:
    receiver.drip_seconds = 0.05
    started = time.monotonic()
    with pytest.raises(PostFailed, match=r"no response within 0\.5 s"):
        post(receiver.url, b"{}", {}, networks=LOOPBACK, seconds=0.5)
    assert time.monotonic() - started < 10


def test_the_time_of_a_request_includes_the_look_up_of_its_name(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.drip_seconds = 0.05
    port = int(receiver.url.rpartition(":")[2].partition("/")[0])

    def resolve(*_: Any, **__: Any) -> Any:
        time.sleep(0.6)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(post_module.socket, "getaddrinfo", resolve)
    started = time.monotonic()
    with pytest.raises(PostFailed, match=r"no response within 0\.5 s"):
        post(f"http://hooks.example.com:{port}/", b"{}", {}, networks=LOOPBACK, seconds=0.5)
    assert time.monotonic() - started < 5
    assert receiver.requests == []


def test_a_receiver_that_does_not_listen_is_named_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(PostFailed, match="Connection refused"):
        post(f"http://127.0.0.1:{port}/", b"{}", {}, networks=LOOPBACK)
    with pytest.raises(PostFailed, match="cannot be resolved"):
        post("http://nothing.invalid/", b"{}", {}, networks=LOOPBACK)


def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=other.example.com",
        "-days",
        "1",
    ]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with WebhookReceiver() as server:
        server.use_tls(context)
        url = server.url.replace("http:", "https:")
        with pytest.raises(PostFailed, match="the certificate is not valid"):
            post(url, b"{}", {}, networks=LOOPBACK)
        assert server.requests == []


def test_the_time_that_a_receiver_asks_to_wait_is_read(receiver: WebhookReceiver) -> None:
    receiver.respond = lambda _: (429, {"retry-after": "120"})
    assert post(receiver.url, b"{}", {}, networks=LOOPBACK).wait_seconds == 120
    receiver.respond = lambda _: (429, {"retry-after": "Fri, 31 Dec 2027 23:59:59 GMT"})
    assert post(receiver.url, b"{}", {}, networks=LOOPBACK).wait_seconds == 0


@pytest.mark.usefixtures("home")
def test_no_secret_and_no_payload_is_logged(receiver: WebhookReceiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.respond = lambda _: (410, {})
    webhook_id, secret = subscribe(receiver.url)
    emit_one(text="confidential")
    with caplog.at_level(logging.DEBUG), WebhookSender():
        until(lambda: newest(webhook_id).last_error)
        until(lambda: "is disabled" in caplog.text)
    assert secret not in caplog.text
    assert "confidential" not in caplog.text
