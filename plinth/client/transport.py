"""HTTP transport: one client, the API key in all requests, problem documents as errors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx2

from plinth.client.errors import Unreachable, to_error
from plinth.client.types import build

T = TypeVar("T")

API = "/api/v1"
PAGE_LENGTH = 200
ATTEMPTS = 4
RETRY_SECONDS = 0.25
MAX_RETRY_SECONDS = 5.0
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Transport:
    """Sends requests and reads responses; safe requests are retried after a lost connection."""

    def __init__(self, url: str, api_key: str | None, *, timeout_seconds: float) -> None:
        self.url = url.rstrip("/")
        headers = {"User-Agent": "plinth"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._http = httpx2.Client(base_url=self.url, headers=headers, timeout=timeout_seconds)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """Get the JSON document at `path`; parameters that are None are left out."""
        return self.send("GET", path, params=drop_none(parameters), retry=True).json()

    def post(self, path: str, body: Mapping[str, Any] | None = None, **parameters: Any) -> Any:
        """Post JSON with an idempotency key, so that retries create no second resource."""
        headers = {"Idempotency-Key": uuid4().hex}
        response = self.send("POST", path, params=drop_none(parameters), json=body, headers=headers, retry=True)
        return response.json()

    def delete(self, path: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Delete the resource at `path`."""
        self.send("DELETE", path, headers=headers)

    def list_items(
        self, item_type: Callable[..., T], path: str, /, *, limit: int | None, **parameters: Any
    ) -> Sequence[T]:
        """Fetch the newest `limit` items of a list, or all with None, page after page."""
        items: list[T] = []
        cursor: str | None = None
        while limit is None or len(items) < limit:
            page_length = PAGE_LENGTH if limit is None else min(PAGE_LENGTH, limit - len(items))
            page = self.get(path, **parameters, limit=page_length, cursor=cursor)
            items += [build(item_type, item) for item in page["data"]]
            cursor = page.get("next_cursor")
            if cursor is None:
                break
        return items

    def send(self, method: str, path: str, *, retry: bool = False, **request: Any) -> httpx2.Response:
        """Send a request and return its response.

        With `retry` it is sent up to 4 times, after lost connections, and after 429 and 503 unless `Retry-After` is
        long. Raises `APIError` for an error status and `Unreachable` without a response.
        """
        for attempt in range(ATTEMPTS):
            is_last = attempt == ATTEMPTS - 1 or not retry
            try:
                response = self._http.request(method, path, **request)
            except (httpx2.ConnectError, httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
                raise self._to_unreachable(error) from error
            except httpx2.TransportError as error:
                if is_last:
                    raise self._to_unreachable(error) from error
                time.sleep(RETRY_SECONDS * 2**attempt)
                continue
            delay_seconds = _read_retry_delay(response)
            if response.status_code in BUSY and not is_last and delay_seconds <= MAX_RETRY_SECONDS:
                time.sleep(delay_seconds)
                continue
            raise_for_problem(response)
            return response
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def stream(self, method: str, path: str, **request: Any) -> Iterator[httpx2.Response]:
        """Send a request and yield its response, whose body is read while it arrives."""
        try:
            with self._http.stream(method, path, **request) as response:
                if response.is_error:
                    response.read()
                raise_for_problem(response)
                yield response
        except httpx2.TransportError as error:
            raise self._to_unreachable(error) from error

    def download(self, path: str, target: Path, *, on_progress: Callable[[int], None] | None, **request: Any) -> Path:
        """Write the body of a response to a file, and return its path.

        It is written completely or not at all. `on_progress` is called with the bytes received so far. For a folder,
        the response names the file.
        """
        with self.stream("GET", path, **request) as response:
            if target.is_dir():
                target /= _filename(response)
            unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
            try:
                with unfinished.open("wb") as output:
                    for chunk in response.iter_bytes():
                        output.write(chunk)
                        if on_progress is not None:
                            on_progress(output.tell())
                unfinished.replace(target)
            finally:
                unfinished.unlink(missing_ok=True)
        return target

    def _to_unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, httpx2.TimeoutException):
            return Unreachable(f"{self.url} timed out. Run `plinth doctor` to see why.")
        if isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.ConnectError):
            return Unreachable(f"The connection to {self.url} was lost: {error or type(error).__name__}. Try again.")
        return Unreachable(
            f"No Plinth service is reachable at {self.url} ({error}). Start one with `plinth up`, or set PLINTH_URL."
        )


def _filename(response: httpx2.Response) -> str:
    """Return the name that a response gives its file, without any folder."""
    header = response.headers.get("content-disposition", "")
    return Path(header.partition('filename="')[2].partition('"')[0]).name or "download"


def raise_for_problem(response: httpx2.Response) -> None:
    """Raise the `APIError` for an error response; return for a success."""
    if response.is_success:
        return
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        request = response.request
        problem = {"detail": f"{request.method} {request.url} failed with status {response.status_code}."}
    raise to_error(response.status_code, problem)


def drop_none(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options whose value is not None."""
    return {name: value for name, value in options.items() if value is not None}


def _read_retry_delay(response: httpx2.Response) -> float:
    try:
        return float(response.headers.get("Retry-After", RETRY_SECONDS))
    except ValueError:
        return RETRY_SECONDS
