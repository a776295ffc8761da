"""A budget of steps that a spec names is never exceeded."""

from __future__ import annotations

from ml.data.dataset import DatasetSummary
from ml.schedule import Schedule
from ml.spec.resolve import resolve
from tests.ml.spec.test_spec import CATALOG, finetune
from tests.support.ml import image_models


def dataset(rows: int) -> DatasetSummary:
    summary = image_models.summary()
    return summary.model_copy(update={"splits": {**summary.splits, "train": rows}})


def test_named_steps_below_those_of_the_epochs_end_the_training() -> None:
    schedule = resolve(finetune(schedule={"max_steps": 40}), CATALOG, dataset(1_000)).schedule
    assert (schedule.min_steps, schedule.max_steps, schedule.cap_steps(200)) == (40, 40, 40)
    assert (
        resolve(finetune(schedule=schedule.model_dump(exclude_none=True)), CATALOG, dataset(1_000)).schedule == schedule
    )


def test_the_budget_of_a_recipe_does_not_cut_the_epochs_of_many_rows() -> None:
    schedule = resolve(finetune(), CATALOG, dataset(1_000_000)).schedule
    assert schedule.max_steps
    assert schedule.cap_steps(50_000) == 50_000


def test_the_plan_counts_the_epochs_that_the_budget_allows() -> None:
    schedule = Schedule(epochs=4, batch_size=10, max_steps=280)
    assert schedule.fit_rows(100) == (4, 10)
    assert schedule.most_epochs(100) == 28
    assert schedule.most_epochs(10_000) == 4
    cut = Schedule(epochs=4, batch_size=10, min_steps=25, max_steps=25)
    assert (cut.fit_rows(100), cut.most_epochs(100)) == ((3, 10), 3)
