"""The current span, for code that need not know whether traces are sent."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

Attributes = Mapping[str, str | int | float | bool]


class AnnotatedSpan(Protocol):
    """A span that has begun."""

    @property
    def traceparent(self) -> str:
        """Identity of the span, as a header of W3C Trace Context."""

    def annotate(self, attributes: Attributes) -> None:
        """Set attributes."""


#: None where traces are not sent.
current_span: ContextVar[AnnotatedSpan | None] = ContextVar("current_span", default=None)
