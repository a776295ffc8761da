"""Paths of other protocols, whose clients read errors of a form of their own."""

from __future__ import annotations

from enum import Enum
from typing import Final


class ClientProtocol(Enum):
    """Protocols that are translated to the native services."""

    OPENAI = "openai"
    INFERENCE = "inference"


#: Beginnings of the paths of each protocol.
_PREFIXES: Final = (("/v1/", ClientProtocol.OPENAI), ("/v2", ClientProtocol.INFERENCE))
#: Paths by which clients of these protocols ask for the state of the service, without a key.
OPEN_PATHS: Final = frozenset({"/v2/health/live", "/v2/health/ready"})


def protocol_of(path: str) -> ClientProtocol | None:
    """Return the protocol of a path; None for a native one."""
    return next((protocol for prefix, protocol in _PREFIXES if path.startswith(prefix)), None)
