"""The web process."""

import sys

# structlog loads rich, and pygments with it, wherever they are installed: 4 MB that a process which writes JSON has no
# use for. Whoever imports rich afterwards gets it.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # how an import is told that there is none
    import structlog  # noqa: F401

    del sys.modules["rich"]
