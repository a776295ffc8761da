"""Small packages of any task, with untrained networks and real graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ml.learning.export.packaging import pack
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.pipeline.base_models import BaseModels
from ml.learning.pipeline.plan import make_plan
from ml.package.package import ModelPackage
from ml.spec.catalog import Catalog
from ml.spec.resolve import resolve
from ml.spec.schema import Finetune
from ml.tasks import TASKS
from tests.support.built_once import copy_built
from tests.support.ml import samples

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ml.learning.pipeline.plan import TrainingPlan

CATALOG = Catalog.load()
PARITY_ROWS = 7


def make_toy_plan(task: str, *, more_columns: Mapping[str, str] | None = None) -> TrainingPlan:
    """Make a task learned from the sample rows, with the smallest fitting architectures."""
    data = samples.dataset({**samples.columns_read_by(TASKS[task]), **(more_columns or {})})
    chosen = {}
    for slot, entry in CATALOG.tasks[task].slots.items():
        name = next(
            architecture for architecture in CATALOG.architectures if CATALOG.unmet(task, entry, architecture) is None
        )
        chosen[slot] = {"name": name, "config": ARCHITECTURES[name].tiny().model_dump(mode="json")}
    request = {"kind": "finetune", "dataset": "toy", "model": "toy", "task": task, "architectures": chosen}
    spec = resolve(Finetune.model_validate(request), CATALOG, data.summary)
    return make_plan(spec, data.summary, data.rows("train"), BaseModels({}))


def input_schema(task: str) -> dict[str, Any]:
    """Return the input schema of `make_untrained`; fields may come from the sample rows."""
    schema = TASKS[task].input_type.model_json_schema()
    if schema.get("properties"):
        return schema
    toy = make_toy_plan(task).task
    assert toy is not None
    return toy.input_schema()


def make_untrained(task: str, into: Path, *, more_columns: Mapping[str, str] | None = None) -> ModelPackage:
    """A package that answers, at random but always alike."""
    columns = "".join(f"-{column}-{kind}" for column, kind in sorted((more_columns or {}).items()))
    copy_built(f"{task}{columns}", lambda folder: _pack_untrained(task, folder, more_columns), into)
    return ModelPackage.open(into)


def _pack_untrained(task: str, into: Path, more_columns: Mapping[str, str] | None) -> None:
    torch.manual_seed(0)
    planned = make_toy_plan(task, more_columns=more_columns)
    pack(
        planned.network().eval(),
        into,
        architectures=planned.architectures,
        encoders=planned.encoders,
        task=planned.task,
        head=planned.head,
        reader=planned.reader,
        rows=samples.dataset({**samples.columns_read_by(TASKS[task]), **(more_columns or {})}).rows("train")[
            :PARITY_ROWS
        ],
    )
