"""A service with models of several tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import register, shades, writer
from tests.support.ml import packages


@pytest.fixture(scope="package")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api, folder = ApiProcess(new_home()), tmp_path_factory.mktemp("packages")
    with homes.use_home(api.home):
        register(shades(folder / "shades"), name="shades")
        register(writer(folder / "stories"), name="stories")
        for task in ("tabular_classification", "text_classification", "recommendation"):
            register(packages.make_untrained(task, folder / task), name=task)
    api.environment["PLINTH_INVOCATIONS_MODEL"] = "tabular_classification"
    with api:
        yield api
