"""The embedded broker, with the real server."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.local.broker import BrokerError, EmbeddedBroker

pytestmark = pytest.mark.process


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


def socket_path(url: str) -> Path:
    return Path(url.removeprefix("redis+socket://").partition("?")[0])


def say(url: str, *commands: str) -> str:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(str(socket_path(url)))
        answers = []
        for command in commands:
            line.sendall(command.encode() + b"\r\n")
            answers.append(line.recv(65_536).decode().strip())
        return "\n".join(answers)


def test_nobody_else_can_reach_the_socket(broker: EmbeddedBroker) -> None:
    folder = socket_path(broker.url).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "port\r\n$1\r\n0" in say(broker.url, "CONFIG GET port")


def test_it_never_evicts_a_message_and_survives_a_full_disk(broker: EmbeddedBroker) -> None:
    assert "noeviction" in say(broker.url, "CONFIG GET maxmemory-policy")
    assert "everysec" in say(broker.url, "CONFIG GET appendfsync")


def test_messages_and_the_address_survive_a_kill(broker: EmbeddedBroker) -> None:
    address = broker.url
    say(address, "RPUSH queue one two three")
    broker.kill()
    assert broker.start() == address
    assert say(address, "LLEN queue") == ":3"


def test_a_data_file_damaged_in_the_middle_is_moved_aside(broker: EmbeddedBroker, tmp_path: Path) -> None:
    say(broker.url, *[f"RPUSH queue message-{n}" for n in range(50)])
    broker.kill()
    (data,) = (tmp_path / "broker" / "appendonlydir").glob("*.incr.aof")
    content = bytearray(data.read_bytes())
    content[500:700] = b"\xff" * 200
    data.write_bytes(content)
    broker.start()
    assert say(broker.url, "LLEN queue") == ":0"
    assert len(list((tmp_path / "broker").glob("damaged-*"))) == 1


def test_a_torn_end_costs_only_the_last_message(broker: EmbeddedBroker, tmp_path: Path) -> None:
    say(broker.url, *[f"RPUSH queue message-{n}" for n in range(50)])
    broker.kill()
    (data,) = (tmp_path / "broker" / "appendonlydir").glob("*.incr.aof")
    os.truncate(data, data.stat().st_size - 7)
    broker.start()
    assert say(broker.url, "LLEN queue") == ":49"


def test_two_brokers_never_share_a_folder(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="Another broker uses"):
        EmbeddedBroker(tmp_path / "broker").start()
    assert say(broker.url, "PING") == "+PONG"


def test_stopping_leaves_no_socket(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker")
    folder = socket_path(broker.start()).parent
    broker.stop()
    assert not folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_it_dies_with_its_parent_and_the_next_start_takes_over(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from plinth.local.broker import EmbeddedBroker\n"
        "broker = EmbeddedBroker(Path(sys.argv[1]))\n"
        "print(broker.start(), broker.process.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "broker")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url, _, number = parent.stdout.readline().strip().rpartition(" ")
        say(url, "RPUSH queue one")
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 2
    while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{number}").exists()
    broker = EmbeddedBroker(tmp_path / "broker")
    try:
        assert say(broker.start(), "LLEN queue") == ":1"
        assert not socket_path(url).parent.exists()
    finally:
        broker.stop()
