"""Upload of large files against a plain copy: time and memory.

    python -m benchmarks.upload --bytes 2G

Each way is compared with a plain copy over a loopback socket to the same disk, made right before or right after it, by
turns; both are on the disk (fsync) when the clock stops. The sender is the same code for all. What the receiver
computed is shown beside it: seconds on a busy machine or a busy disk say little, CPU seconds a gigabyte do.
"""

from __future__ import annotations

import argparse
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.record import figure, parse_args
from tests.support.api_process import ApiProcess

BLOCK = secrets.token_bytes(1024**2)
#: As curl makes it; the parser searches for it in every byte.
BOUNDARY = b"-" * 24 + secrets.token_hex(11).encode()
AIM = 0.6
MIB = 1024**2

_PLAIN_SERVER = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
began = time.process_time()
buffer = memoryview(bytearray(1024**2))
with open(sys.argv[1], "wb", buffering=0) as file:
    while count := connection.recv_into(buffer):
        file.write(buffer[:count])
    os.fsync(file.fileno())
connection.sendall(b"done")
print(time.process_time() - began, flush=True)
"""


def main() -> None:
    """Print a table, and report whether the aim was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", default="2G", help="how much to send, as 500M or 2G")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where to put the home folder (default: a temporary one)"
    )
    parser.add_argument("--repetitions", type=int, default=5, help="pairs of a copy and an upload; medians are shown")
    arguments = parse_args(parser)
    size = _bytes(arguments.bytes)
    print("way        plain copy MB/s  upload MB/s  ratio (of pairs)      CPU s/GB: plain  upload  growth MB")
    met = True
    for name, send in (("tus", _tus), ("multipart", _multipart)):
        pairs = [
            _pair(send, size, arguments.folder, plain_first=turn % 2 == 0) for turn in range(arguments.repetitions)
        ]
        ratios = [pair.plain.seconds / pair.upload.seconds for pair in pairs]
        growth = max(pair.growth_bytes for pair in pairs) / MIB
        met = met and median(ratios) >= AIM and growth <= 50
        figure(
            f"{name}: speed against a plain loopback copy",
            ratios,
            unit="",
            aim=f">= {AIM}",
            note=f"ratio of pairs; memory {growth:+.0f} MB",
        )
        print(
            f"{name:<10} {size / median(pair.plain.seconds for pair in pairs) / 1e6:>15.0f}"
            f" {size / median(pair.upload.seconds for pair in pairs) / 1e6:>12.0f}"
            f"  {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            f" {median(pair.plain.cpu_seconds for pair in pairs) / size * 1e9:>19.2f}"
            f" {median(pair.upload.cpu_seconds for pair in pairs) / size * 1e9:>7.2f} {growth:>10.1f}",
            flush=True,
        )
    print(f"aim: ratio >= {AIM}, growth <= 50 MB: {'met' if met else 'NOT met'}")


@dataclass(frozen=True, slots=True)
class TransferCost:
    """Return the waiting time of the sender and the CPU seconds of the receiver."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A plain copy and an upload of as many bytes, one right after the other."""

    plain: TransferCost
    upload: TransferCost
    growth_bytes: int


def _pair(send: Callable[[ApiProcess, int], float], size: int, where: Path | None, *, plain_first: bool) -> Pair:
    with tempfile.TemporaryDirectory(dir=where) as folder, ApiProcess(Path(folder) / "home") as api:
        api.request("GET", "/api/v1/datasets")
        plain = _plain(Path(folder) / "plain", size) if plain_first else None
        before, peak = api.rss_bytes(), Peak(api.rss_bytes)
        cpu_before = api.cpu_seconds()
        with peak:
            seconds = send(api, size)
        upload = TransferCost(seconds, api.cpu_seconds() - cpu_before)
        return Pair(plain or _plain(Path(folder) / "plain", size), upload, peak.bytes - before)


def _plain(path: Path, size: int) -> TransferCost:
    """Bytes from a socket to the disk, and nothing else."""
    with subprocess.Popen(
        [sys.executable, "-c", _PLAIN_SERVER, str(path)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as connection:
            started = time.perf_counter()
            _send_blocks(connection, size)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(4) == b"done"
            seconds = time.perf_counter() - started
        cpu_seconds = float(server.stdout.readline())
    path.unlink()
    return TransferCost(seconds, cpu_seconds)


def _tus(api: ApiProcess, size: int) -> float:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size)}
    status, answer_headers, _ = api.request("POST", "/api/v1/uploads", headers=headers)
    assert status == 201, status
    headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    return _time_upload(api, "PATCH", answer_headers["location"], headers, b"", size, b"", expected=204)


def _multipart(api: ApiProcess, size: int) -> float:
    head = (
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="name"\r\n\r\nbench\r\n'
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="data.bin"\r\n\r\n'
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    tail = b"\r\n--" + BOUNDARY + b"--\r\n"
    return _time_upload(api, "POST", "/api/v1/datasets", headers, head, size, tail, expected=202)


def _time_upload(
    api: ApiProcess,
    method: str,
    path: str,
    headers: dict[str, str],
    head: bytes,
    size: int,
    tail: bytes,
    *,
    expected: int,
) -> float:
    lines = {**headers, "Host": "127.0.0.1", "Authorization": f"Bearer {api.key}", "Connection": "close"}
    lines["Content-Length"] = str(len(head) + size + len(tail))
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        started = time.perf_counter()
        connection.sendall(f"{method} {path} HTTP/1.1\r\n".encode())
        connection.sendall("".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode() + b"\r\n" + head)
        _send_blocks(connection, size)
        connection.sendall(tail)
        answer = connection.recv(64 * 1024)
        seconds = time.perf_counter() - started
    status = int(answer.split(b" ", 2)[1])
    assert status == expected, answer
    return seconds


def _send_blocks(connection: socket.socket, size: int) -> None:
    view = memoryview(BLOCK)
    while size > 0:
        piece = view[: min(size, len(view))]
        connection.sendall(piece)
        size -= len(piece)


class Peak:
    """The largest of many readings."""

    def __init__(self, read: Callable[[], int]) -> None:
        self.bytes = read()
        self._read = read
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self.bytes = max(self.bytes, self._read())


def _bytes(text: str) -> int:
    factors = {"K": 1024, "M": 1024**2, "G": 1024**3}
    return int(float(text.rstrip("KMG")) * factors.get(text[-1], 1))


if __name__ == "__main__":
    main()
