"""The line to the service: one HTTP client, the key on every request, and problem documents turned into errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
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
LONGEST_RETRY_SECONDS = 5.0
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Transport:
    """Sends requests and reads answers. What can be sent twice without harm is sent again when the line breaks."""

    def __init__(self, url: str, api_key: str | None, *, timeout_seconds: float) -> None:
        self.url = url.rstrip("/")
        headers = {"User-Agent": "plinth"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._http = httpx2.Client(base_url=self.url, headers=headers, timeout=timeout_seconds)

    def close(self) -> None:
        """Let go of the line."""
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON document at `path`."""
        return self.send("GET", path, params=_given(parameters), again=True).json()

    def post(self, path: str, body: Mapping[str, Any] | None = None, **parameters: Any) -> Any:
        """Post JSON with an idempotency key, so that a lost answer costs a repetition and not a second thing."""
        headers = {"Idempotency-Key": uuid4().hex}
        answer = self.send("POST", path, params=_given(parameters), json=body, headers=headers, again=True)
        return answer.json()

    def delete(self, path: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Delete what is at `path`."""
        self.send("DELETE", path, headers=headers)

    def listing(self, of: Callable[..., T], path: str, /, *, limit: int | None, **parameters: Any) -> Sequence[T]:
        """The newest `limit` items of a list, or all of them, page by page."""
        items: list[T] = []
        cursor: str | None = None
        while limit is None or len(items) < limit:
            wanted = PAGE_LENGTH if limit is None else min(PAGE_LENGTH, limit - len(items))
            page = self.get(path, **parameters, limit=wanted, cursor=cursor)
            items += [build(of, item) for item in page["data"]]
            cursor = page.get("next_cursor")
            if cursor is None:
                break
        return items

    def send(self, method: str, path: str, *, again: bool = False, **request: Any) -> httpx2.Response:
        """One request and its answer; `again` allows to repeat it. Refusals are raised."""
        for attempt in range(ATTEMPTS):
            is_last = attempt == ATTEMPTS - 1 or not again
            try:
                answer = self._http.request(method, path, **request)
            except (httpx2.ConnectError, httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
                raise self._unreachable(error) from error
            except httpx2.TransportError as error:
                if is_last:
                    raise self._unreachable(error) from error
                time.sleep(RETRY_SECONDS * 2**attempt)
                continue
            if answer.status_code in BUSY and not is_last:
                time.sleep(_asked_to_wait(answer))
                continue
            raise_for_problem(answer)
            return answer
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def stream(self, method: str, path: str, **request: Any) -> Iterator[httpx2.Response]:
        """An answer whose body is read while it arrives."""
        try:
            with self._http.stream(method, path, **request) as answer:
                if answer.is_error:
                    answer.read()
                raise_for_problem(answer)
                yield answer
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, httpx2.TimeoutException):
            return Unreachable(f"{self.url} did not answer in time. `plinth doctor` looks for the reason.")
        if isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.ConnectError):
            return Unreachable(f"The line to {self.url} broke: {error or type(error).__name__}. Try again.")
        return Unreachable(
            f"No Plinth service answers at {self.url} ({error}). Start one with `plinth up`, or set PLINTH_URL."
        )


def raise_for_problem(answer: httpx2.Response) -> None:
    """Turn a refusal into an error."""
    if answer.is_success:
        return
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"{answer.request.method} {answer.request.url} answered {answer.status_code}."}
    raise to_error(answer.status_code, problem)


def _asked_to_wait(answer: httpx2.Response) -> float:
    try:
        return min(float(answer.headers.get("Retry-After", RETRY_SECONDS)), LONGEST_RETRY_SECONDS)
    except ValueError:
        return RETRY_SECONDS


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}
