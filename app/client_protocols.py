"""Paths of other protocols, whose clients read errors of a form of their own."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class ClientProtocol(Enum):
    """Protocols that are translated to the native services."""

    OPENAI = "openai"
    INFERENCE = "inference"
    CONTAINERS = "containers"
    SYSTEM_ONE = "system_one"
    HUGGING_FACE = "hugging face"


#: Patterns of the paths of each protocol; the first that matches decides.
_PATHS: Final = (
    (re.compile(r"/invocations$|/predictions/|/v1/models/.*(:predict|/metadata)$"), ClientProtocol.CONTAINERS),
    (re.compile(r"/v1/systemone$"), ClientProtocol.SYSTEM_ONE),
    (re.compile(r"/v1/"), ClientProtocol.OPENAI),
    (re.compile(r"/v2(/|$)"), ClientProtocol.INFERENCE),
    (re.compile(r"/hf/"), ClientProtocol.HUGGING_FACE),
)
#: Paths by which clients of these protocols ask for the state of the service, without a key.
OPEN_PATHS: Final = frozenset({"/ping", "/v2/health/live", "/v2/health/ready"})


def protocol_of(path: str) -> ClientProtocol | None:
    """Return the protocol of a path; None for a native one."""
    return next((protocol for pattern, protocol in _PATHS if pattern.match(path)), None)


#: Paths that clients of other protocols request when their address was set wrongly: their protocol, and a hint.
_MISTAKEN: Final = (
    (
        re.compile(r"/(chat/completions|completions|embeddings|moderations|responses|images/generations|audio/\w+)$"),
        ClientProtocol.OPENAI,
        "The base URL of an OpenAI client ends in /v1.",
    ),
    (
        re.compile(r"/models$"),
        ClientProtocol.OPENAI,
        "The base URL of an OpenAI client ends in /v1; GET /api/v1/models lists all models, too.",
    ),
    (
        re.compile(r"/models/[^/]+$"),
        ClientProtocol.HUGGING_FACE,
        "InferenceClient takes the address of a model, which ends in /hf/NAME; others use /predict/NAME.",
    ),
    (
        re.compile(r"/(embed|rerank|similarity|tokenize|info)$"),
        ClientProtocol.HUGGING_FACE,
        "Clients of text-embeddings-inference take the address of a model, which ends in /hf/NAME.",
    ),
    (re.compile(r"/predict/?$"), None, "Name the model: /predict/NAME."),
)


def intended_protocol(path: str) -> tuple[ClientProtocol | None, str]:
    """Return the protocol that a missing path was meant for, and a hint.

    It is the protocol of the path and "" for all but usual mistakes.
    """
    for pattern, protocol, hint in _MISTAKEN:
        if pattern.match(path):
            return protocol, hint
    return protocol_of(path), ""
