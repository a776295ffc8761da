"""Methods that stand for others.

HEAD is answered as GET without a body; tus may name its method in a header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Prefix of the paths of tus, whose HEAD is a route of its own, and which reads `METHOD_OVERRIDE`.
UPLOADS: Final = "/api/v1/uploads"
#: Header that replaces the method of a request, for networks that block PATCH and DELETE.
METHOD_OVERRIDE: Final = "x-http-method-override"
#: Attribute of `request.state` of a GET that stands for HEAD: its body need not be made.
IS_HEAD: Final = "is_head"
#: RFC 9110 defines ranges only for GET.
_RANGE: Final = b"range"


class MethodMiddleware:
    """Pass requests on with the method that they stand for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; `scope` keeps its method and gets the route that was taken."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        changed = dict(scope)
        is_upload = scope["path"] == UPLOADS or scope["path"].startswith(f"{UPLOADS}/")
        if is_upload and (method := Headers(scope=scope).get(METHOD_OVERRIDE)):
            changed["method"] = method.strip().upper()
        elif scope["method"] == "HEAD" and not scope["path"].startswith(f"{UPLOADS}/"):
            changed["method"] = "GET"
            scope.setdefault("state", {})[IS_HEAD] = True
            changed["state"] = scope["state"]
            changed["headers"] = [header for header in scope["headers"] if header[0] != _RANGE]
            send = _without_body(send)
        try:
            await self._app(changed, receive, send)
        finally:
            if "route" in changed:
                scope["route"] = changed["route"]


def _without_body(send: Send) -> Send:
    """Return a `send` that ends the response after its headers.

    It raises `ClientDisconnect` to end a stream.
    """

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
        elif message["type"] == "http.response.body":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if message.get("more_body", False):
                raise ClientDisconnect

    return send_head
