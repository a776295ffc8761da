"""Home: the three steps, samples to start with, the device, and what runs now."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.web.view import View, views
from plinth.installation import install_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from app.web.samples.base import SampleData

SAMPLES_PACKAGE: Final = "app.web.samples"


@cache
def samples() -> Mapping[str, SampleData]:
    """Return the samples by the name of their module, in the order of the page."""
    folder = importlib.import_module(SAMPLES_PACKAGE)
    names = [module.name for module in pkgutil.iter_modules(folder.__path__) if module.name != "base"]
    loaded = {name: importlib.import_module(f"{SAMPLES_PACKAGE}.{name}").SAMPLE for name in names}
    available = [(name, sample) for name, sample in loaded.items() if sample.is_available()]
    return dict(sorted(available, key=lambda item: item[1].place))


def download_sample(request: Request) -> Response:
    """Return a sample as a zip."""
    sample = samples().get(request.path_params["name"])
    if sample is None:
        raise HTTPException(404)
    return Response(sample.archive(), media_type="application/zip")


def _context(_request: Request) -> Mapping[str, Any]:
    cards = [
        {"name": name, "title": item.title, "summary": item.summary, "task": item.task, "sketch": item.sketch}
        for name, item in samples().items()
    ]
    return {
        "samples": cards,
        "paths": {view.path for view in views().values()},
        "install_command": install_command("server"),
    }


VIEW = View(title="Home", path="/", place=0, context=_context, routes={"/samples/{name}.zip": download_sample})
