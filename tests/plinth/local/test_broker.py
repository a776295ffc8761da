"""Embedded broker, with a real server."""

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


def send_commands(url: str, *commands: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(socket_path(url)))
        replies = []
        for command in commands:
            connection.sendall(command.encode() + b"\r\n")
            replies.append(connection.recv(65_536).decode().strip())
        return "\n".join(replies)


def test_other_users_cannot_reach_the_socket(broker: EmbeddedBroker) -> None:
    folder = socket_path(broker.url).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "port\r\n$1\r\n0" in send_commands(broker.url, "CONFIG GET port")


def test_it_never_evicts_a_message_and_survives_a_full_disk(broker: EmbeddedBroker) -> None:
    assert "noeviction" in send_commands(broker.url, "CONFIG GET maxmemory-policy")
    assert "everysec" in send_commands(broker.url, "CONFIG GET appendfsync")


def test_messages_and_the_url_survive_a_kill(broker: EmbeddedBroker) -> None:
    url = broker.url
    send_commands(url, "RPUSH queue one two three")
    broker.kill()
    assert broker.start() == url
    assert send_commands(url, "LLEN queue") == ":3"


def test_a_data_file_damaged_in_the_middle_is_moved_aside(broker: EmbeddedBroker, tmp_path: Path) -> None:
    send_commands(broker.url, *[f"RPUSH queue message-{n}" for n in range(50)])
    broker.kill()
    (data,) = (tmp_path / "broker" / "appendonlydir").glob("*.incr.aof")
    content = bytearray(data.read_bytes())
    content[500:700] = b"\xff" * 200
    data.write_bytes(content)
    broker.start()
    assert send_commands(broker.url, "LLEN queue") == ":0"
    assert len(list((tmp_path / "broker").glob("damaged-*"))) == 1


def test_a_truncated_data_file_loses_only_the_last_message(broker: EmbeddedBroker, tmp_path: Path) -> None:
    send_commands(broker.url, *[f"RPUSH queue message-{n}" for n in range(50)])
    broker.kill()
    (data,) = (tmp_path / "broker" / "appendonlydir").glob("*.incr.aof")
    os.truncate(data, data.stat().st_size - 7)
    broker.start()
    assert send_commands(broker.url, "LLEN queue") == ":49"


def test_two_brokers_never_share_a_folder(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="Another broker uses"):
        EmbeddedBroker(tmp_path / "broker").start()
    assert send_commands(broker.url, "PING") == "+PONG"


def test_stopping_leaves_no_socket(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker")
    folder = socket_path(broker.start()).parent
    broker.stop()
    assert not folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a process with its parent")
def test_it_dies_with_its_parent_and_the_next_start_reads_its_data(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from plinth.local.broker import EmbeddedBroker\n"
        "broker = EmbeddedBroker(Path(sys.argv[1]))\n"
        "print(broker.start(), broker.process.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "broker")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url, _, number = parent.stdout.readline().strip().rpartition(" ")
        send_commands(url, "RPUSH queue one")
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 2
    while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{number}").exists()
    broker = EmbeddedBroker(tmp_path / "broker")
    try:
        assert send_commands(broker.start(), "LLEN queue") == ":1"
        assert not socket_path(url).parent.exists()
    finally:
        broker.stop()
