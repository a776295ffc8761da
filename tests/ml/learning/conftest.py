from pathlib import Path

import pytest
import torch

from tests.support.ml.digits import import_digits


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, ready to be trained on."""
    return import_digits(tmp_path_factory.mktemp("digits"))
