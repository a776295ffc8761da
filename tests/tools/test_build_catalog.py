import subprocess
import sys

from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.heads import HEADS
from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.training.tuning import TUNINGS
from ml.spec.catalog import PATH, Catalog
from ml.tasks import TASKS


def test_nothing_is_left_out() -> None:
    catalog = Catalog.load()
    for entries, registry in (
        (catalog.tasks, TASKS),
        (catalog.architectures, ARCHITECTURES),
        (catalog.objectives, OBJECTIVES),
        (catalog.tunings, TUNINGS),
        (catalog.heads, HEADS),
    ):
        assert set(entries) == set(registry)


def test_the_file_holds_what_the_registries_hold_and_the_command_prints() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.build_catalog"], capture_output=True, text=True, check=True)
    assert done.stdout == PATH.read_text(), "run `make catalog`"
