"""Events become one line each, without control characters and API keys."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app import event_log
from app.event_log import EventLogger, bind_fields

SECRET = "plinth_key_" + "a" * 30


@contextmanager
def captured_events(capsys: pytest.CaptureFixture[str]) -> Iterator[list[dict[str, object]]]:
    """The events that are logged in the block, once it has ended."""
    handlers, level = logging.root.handlers, logging.root.level
    events: list[dict[str, object]] = []
    event_log.configure()
    try:
        yield events
    finally:
        logging.root.handlers, logging.root.level = handlers, level
        logging.getLogger("uvicorn.access").disabled = False
    events += [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_line_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log = EventLogger("tests")
    with captured_events(capsys) as events:
        with bind_fields(request_id="r1"):
            log.info("50 % loaded", model="a\nb", pids=[1, 2])
        log.warning("unloaded")
    first, second = events
    assert first.pop("timestamp")
    assert first == {
        "event": "50 % loaded",
        "level": "info",
        "logger": "tests",
        "request_id": "r1",
        "model": "a\\x0ab",
        "pids": [1, 2],
    }
    assert "request_id" not in second


def test_a_traceback_is_one_field_without_keys(capsys: pytest.CaptureFixture[str]) -> None:
    log = EventLogger("tests")
    with captured_events(capsys) as events:
        try:
            raise ValueError(f"Bearer {SECRET}")
        except ValueError as error:
            log.error("failed", exc_info=error, path=f"/{SECRET}")
            log.exception("failed")
    assert len(events) == 2
    assert events[0]["path"] == "/[key]"
    for event in events:
        assert str(event["exception"]).startswith("Traceback (most recent call last):\n")
        assert SECRET not in str(event)


def test_records_of_other_libraries_are_events_too(capsys: pytest.CaptureFixture[str]) -> None:
    with captured_events(capsys) as events:
        logging.getLogger("uvicorn.error").info("Started process %d", 7)
        logging.getLogger("uvicorn.access").info("GET /")
    (event,) = events
    assert (event["event"], event["logger"]) == ("Started process 7", "uvicorn.error")


def test_a_terminal_gets_text() -> None:
    code = (
        "import sys; sys.stderr.isatty = lambda: True\n"
        "from app import event_log; event_log.configure()\n"
        "event_log.EventLogger('tests').info('loaded', model='digits')"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert output.stderr.endswith(" [info] tests: loaded model=digits\n")
