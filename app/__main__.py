"""`python -m app`: serve until told to stop."""

from __future__ import annotations

import os
import signal
import sys

from app import logs
from app.auth import is_loopback
from app.dependencies import first_key, has_keys
from app.main import create_app
from app.predict.short_way import ShortWayProtocol
from app.server import make_server
from app.settings import app_settings


def main() -> int:
    """0 after a stop that was asked for, 78 where the settings must not be served."""
    os.umask(0o077)
    logs.configure()
    settings = app_settings()
    if not is_loopback(settings.host) and first_key(settings) is None and not has_keys():
        sys.stderr.write(
            f"Refusing to listen on {settings.host} without a key: set PLINTH_API_KEY, or listen on 127.0.0.1.\n"
        )
        return 78
    # uvicorn raises the signal it caught once more when it is done; an orderly end is a success.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    app = create_app(settings)
    server = make_server(app, settings, speaks=ShortWayProtocol, short_way=app.state.short_way)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
