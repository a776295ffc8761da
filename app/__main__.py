"""`python -m app [--api-processes N]`: serve the API until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from typing import Final

from app import event_log
from app.dependencies import first_key, has_keys
from app.http import multiprocess
from app.http.middleware import is_loopback
from app.settings import MAX_API_PROCESSES, AppSettings, app_settings

#: Allocations before a collection of new objects, and collections before one of older objects. A request of 28 x 28
#: pixels as JSON allocates 30 lists, so that the usual 700 are 20 requests.
GC_THRESHOLDS: Final = (10_000, 10, 10)


def main() -> int:
    """Serve until a signal arrives.

    Returns the exit status: 0 after a signal, 78 for settings that must not be served.
    """
    os.umask(0o077)
    # Read when numpy is imported. Threads of OpenBLAS wait by spinning: beside a run they took eight times the
    # processor time for a product of 64 x 384 and 384 x 1,000.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    event_log.configure()
    settings = _parse_settings()
    inherited = multiprocess.inherited_process()
    multiprocess.end_with_starter()
    if inherited is None and settings.api_processes > 1:
        return multiprocess.serve(settings)
    if not is_loopback(settings.host) and first_key(settings) is None and not has_keys():
        sys.stderr.write(
            f"Refusing to listen on {settings.host} without a key: set PLINTH_API_KEY, or listen on 127.0.0.1.\n"
        )
        return multiprocess.CONFIGURATION
    # The imports make hundreds of thousands of objects that stay; looking for garbage in them is a tenth of the time.
    gc.disable()
    # Imported here: the parent of several API processes does not need them.
    from app.http.protocol import make_server
    from app.main import create_app
    from app.predict.fast_path import FastPathProtocol

    app = create_app(settings)
    server = make_server(app, settings, protocol=FastPathProtocol, fast_path=app.state.fast_path)
    # A signal must not be lost before uvicorn handles signals. After its shutdown uvicorn raises the signal again,
    # although an orderly end is a success.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    _spare_lasting_objects()
    if inherited is not None:
        app.state.metrics.set_api_process(inherited.number)
        inherited.end_with_parent()
    server.run(sockets=[inherited.socket] if inherited else None)
    return 0 if server.started else 1


def _spare_lasting_objects() -> None:
    """Exempt the objects of the start from garbage collection, and collect less often.

    They are 170,000 and stay for ever: one collection of all took 170 ms, in which nothing was answered.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()


def _parse_settings() -> AppSettings:
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve the API until SIGTERM or SIGINT.")
    help_text = "number of processes that share the socket [PLINTH_API_PROCESSES, else 1]"
    parser.add_argument("--api-processes", type=int, help=help_text)
    count = parser.parse_args().api_processes
    settings = app_settings()
    if count is None:
        return settings
    if not 1 <= count <= MAX_API_PROCESSES:
        parser.error(f"--api-processes must be 1 to {MAX_API_PROCESSES}")
    return settings.model_copy(update={"api_processes": count})


if __name__ == "__main__":
    sys.exit(main())
