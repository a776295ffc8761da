"""Print the OpenAPI document: `make openapi` writes it to `docs/reference/openapi.json`."""

from __future__ import annotations

import json
import sys

from app.main import create_app


def text() -> str:
    """Return the content of `docs/reference/openapi.json`."""
    return json.dumps(create_app().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
