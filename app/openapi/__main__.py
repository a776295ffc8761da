"""Prints the OpenAPI document: `python -m app.openapi > docs/reference/openapi.json` (`make openapi`)."""

from __future__ import annotations

import json
import sys

from app.main import create_app


def text() -> str:
    """The content of `docs/reference/openapi.json`."""
    return json.dumps(create_app().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
