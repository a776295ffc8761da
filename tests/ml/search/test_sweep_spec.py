"""Check and defaults of sweeps: space, strategy, metric, budget."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from ml.search.check import check_sweep
from ml.search.halving import Halving
from ml.search.resolve import resolve_sweep
from ml.search.schema import SearchRange, Sweep
from ml.search.space import apply_parameters, current_parameters
from ml.search.strategies import STRATEGIES
from ml.spec.catalog import Catalog
from ml.spec.resolve import resolve
from tests.support.ml import image_models

CATALOG = Catalog.load()
DATASET = image_models.summary()


def sweep(job: dict[str, Any] | None = None, **fields: Any) -> Sweep:
    usual = {"kind": "finetune", "dataset": "d", "task": "image_classification", "architecture": "cnn", "model": "m"}
    return Sweep.model_validate({"kind": "sweep", "job": {**usual, **(job or {})}, **fields})


def resolve_checked(spec: Sweep) -> Sweep:
    assert check_sweep(spec, CATALOG, DATASET) == []
    return resolve_sweep(spec, resolve(spec.job, CATALOG, DATASET), CATALOG, DATASET)


def findings(**fields: Any) -> list[tuple[str | None, str, str | None]]:
    return [(item.path, item.message, item.hint) for item in check_sweep(sweep(**fields), CATALOG, DATASET)]


def test_the_automatic_space_lies_around_the_recipe() -> None:
    spec = resolve_checked(sweep())
    recipe = resolve(spec.job, CATALOG, DATASET).schedule
    rate = spec.space["schedule.learning_rate"]
    assert (rate.low, rate.high, rate.log) == (recipe.learning_rate / 10, recipe.learning_rate * 10, True)
    assert recipe.batch_rows(DATASET.splits["train"]) in spec.space["schedule.batch_size"]
    assert spec.metric == "validation/accuracy"
    assert (spec.strategy.name, spec.strategy.config) == ("tpe", {"startup_trials": 5})
    assert spec.halving == Halving(factor=3, rungs=2)
    assert resolve_checked(spec) == spec


def test_the_automatic_space_has_the_options_of_a_tuning_and_the_dropout_of_an_architecture() -> None:
    job = {"task": "text_classification", "architecture": "transformer", "tuning": "full"}
    text = sweep(job)
    space = resolve_sweep(text, resolve(text.job, CATALOG), CATALOG).space
    assert space["architecture.config.dropout"] == SearchRange(low=0.0, high=0.6)
    tuned = sweep({"architecture": None, "start_from": "base", "tuning": "lora"})
    assert resolve_sweep(tuned, resolve(tuned.job, CATALOG), CATALOG).space["tuning.config.rank"] == [4, 8, 16]


def test_a_range_with_whole_ends_is_one_of_whole_numbers_only_for_such_a_setting() -> None:
    space = {"schedule.weight_decay": {"low": 0, "high": 1}, "schedule.batch_size": {"low": 8, "high": 64, "log": True}}
    spec = resolve_checked(sweep(space=space))
    assert [type(spec.space[path].low) for path in space] == [float, int]


@pytest.mark.parametrize(
    ("fields", "path", "message", "hint"),
    [
        ({"strategy": "tpee"}, "strategy", "no strategy named 'tpee'; known: random, tpe", "Did you mean 'tpe'?"),
        ({"strategy": {"name": "tpe", "config": {"startup": 1}}}, "strategy.config.startup", "no option named", None),
        ({"metric": "validation/acuracy"}, "metric", "known: validation/accuracy", "'validation/accuracy'"),
        ({"space": {"model": ["a", "b"]}}, "space.model", "no setting to search for named 'model'", None),
        ({"space": {"schedul.epochs": [1]}}, "space.schedul.epochs", "known: architecture", "'schedule'"),
        ({"space": {"schedule.epoch": [1, 2]}}, "space.schedule.epoch", "no setting of the schedule", "'epochs'"),
        (
            {"space": {"architecture": ["cnn", "resnt"]}},
            "space.architecture",
            "no architecture named 'resnt'",
            "'resnet'",
        ),
        ({"space": {"architecture": ["bert"]}}, "space.architecture", "with architecture = 'bert'", None),
        ({"space": {"schedule.batch_size": [8, 8]}}, "space.schedule.batch_size", "listed twice", None),
        (
            {"space": {"schedule.learning_rate": {"low": 0.1, "high": 1000}}},
            "space.schedule.learning_rate",
            "cannot be 1000",
            None,
        ),
        (
            {"space": {"schedule.batch_size": {"low": 8.0, "high": 64.0}}},
            "space.schedule.batch_size",
            "needs whole numbers",
            '{"low": 8, "high": 64}',
        ),
        ({"space": {"seed.x": [1]}}, "space.seed.x", "cannot be", None),
        ({"job": {"schedule": {"epochs": 5}, "tuning": "lora"}}, "job.tuning", "lora needs a base model", None),
    ],
)
def test_a_fault_names_its_place_and_what_is_known(
    fields: dict[str, Any], path: str, message: str, hint: str | None
) -> None:
    faults = findings(**fields)
    assert [place for place, _, _ in faults][:1] == [path], faults
    assert message in faults[0][1]
    assert hint is None or hint in (faults[0][2] or "")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"budget": {}}, "set trials, seconds or cpu_seconds"),
        ({"budget": {"trials": 0}}, "greater than or equal to 1"),
        ({"space": {"schedule.learning_rate": {"low": 1, "high": 0.1}}}, "low (1) must be below high (0.1)"),
        ({"space": {"schedule.weight_decay": {"low": 0, "high": 0.1, "log": True}}}, "must start above 0"),
        ({"space": {}}, "at least 1 item"),
        ({"halving": {"factor": 1}}, "greater than or equal to 2"),
    ],
)
def test_a_spec_that_no_sweep_can_have_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        sweep(**fields)
    assert message in str(error.value)


def test_parameters_are_set_by_path_and_names_are_expanded() -> None:
    job = {"architecture": "cnn", "tuning": "lora", "schedule": {"epochs": 2}}
    values = {"tuning.config.rank": 4, "schedule.learning_rate": 0.1, "architecture": "resnet"}
    assert apply_parameters(job, values) == {
        "architecture": "resnet",
        "tuning": {"name": "lora", "config": {"rank": 4}},
        "schedule": {"epochs": 2, "learning_rate": 0.1},
    }
    assert job["schedule"] == {"epochs": 2}


def test_the_settings_of_a_job_are_a_point_of_the_space_or_none() -> None:
    space = resolve_checked(sweep(space={"architecture": ["cnn", "resnet"], "schedule.batch_size": [16, 32]})).space
    architectures = {"image": {"name": "resnet", "config": {"stem_stride": 1}}}
    document = {"architectures": architectures, "schedule": {"batch_size": 30}}
    assert current_parameters(space, {}, document) == {"architecture": "resnet", "schedule.batch_size": 32}
    assert current_parameters(space, {"schedule": {"batch_size": 64}}, document) is None


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_stands_in_the_catalog_with_its_options(name: str) -> None:
    strategy, entry = STRATEGIES[name], CATALOG.strategies[name]
    assert (entry.summary, entry.source) == (strategy.summary, strategy.source)
    assert entry.config_schema == strategy.config_type.model_json_schema()
    assert strategy.config_type()


def test_checking_a_sweep_imports_neither_torch_nor_optuna() -> None:
    code = "import sys, ml.search.check, ml.search.resolve, ml.search.strategies as s; list(s.STRATEGIES); "
    code += "print(sorted({'torch', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
