"""Contracts of every task: examples, batches, predictions, datasets and encoders."""

import json
from functools import cache

import numpy as np
import pytest
import torch

from ml.data.rows import Rows
from ml.encoders import ENCODERS
from ml.learning.export.torch_runner import make_runner
from ml.tasks import TASKS
from tests.support.ml import image_models, packages, samples

every_task = pytest.mark.parametrize("name", list(TASKS))


def sample(name):
    """Return the training rows of a small dataset with the columns of the task."""
    return samples.dataset(samples.columns_read_by(TASKS[name])).rows("train")


@cache
def build_task(name):
    """Return a task that learned from toy data, as in training, and its network."""
    plan = packages.make_toy_plan(name)
    network = plan.network().eval()
    assert plan.task is not None
    return plan.task, make_runner(network, plan.task.graph_inputs(), device=torch.device("cpu"))


def read_examples(task, count):
    rows = [task.read(task.example()[0], parameters={}) for _ in range(count)]
    return Rows({name: [row[name] for row in rows] for name in rows[0]})


@every_task
def test_the_example_survives_json(name):
    task, _ = build_task(name)
    example_input, example_output = task.example()

    input_json = json.loads(example_input.model_dump_json())
    output_json = json.loads(example_output.model_dump_json())

    assert task.input_type.model_validate(input_json) == example_input
    assert task.output_type.model_validate(output_json) == example_output
    assert task.read(input_json, parameters={}).keys() == task.read(example_input, parameters={}).keys()


@every_task
def test_a_batch_has_the_arrays_that_the_first_graph_reads(name):
    task, _ = build_task(name)

    arrays = task.collate(task.encode(read_examples(task, 2)))

    first = next(iter(task.graphs.values()))
    graph_inputs = {name for names in task.graphs.values() for name in names}
    assert set(task.slots) <= graph_inputs or not set(task.slots) & graph_inputs
    assert any(name in arrays for name in first)
    assert all(len(arrays[name]) == 2 for name in first if name in arrays)


@every_task
def test_a_batch_of_several_rows_equals_batches_of_one(name):
    task, _ = build_task(name)
    rows = read_examples(task, 4)

    whole = task.collate(task.encode(rows))

    for index in range(len(rows)):
        single = task.collate(task.encode(rows.take([index])))
        for array in set(next(iter(task.graphs.values()))) & whole.keys():
            np.testing.assert_array_equal(single[array][0], whole[array][index])


@every_task
def test_every_row_gets_one_valid_output_in_order(name):
    task, run = build_task(name)
    batch = task.collate(task.encode(read_examples(task, 5)))

    outputs = task.decode({**batch, **task.predict(run, batch)})

    assert len(outputs) == 5
    for output in outputs:
        assert task.output_type.model_validate_json(json.dumps(output)).to_json() == output


@every_task
def test_a_row_is_converted_to_an_input_that_can_be_read(name):
    task, _ = build_task(name)

    row_input, target = task.to_input_and_target(sample(name)[1])

    task.read(json.loads(row_input.model_dump_json()), parameters={})
    json.dumps(target)


@every_task
def test_the_learned_state_is_json(name):
    task, _ = build_task(name)

    restored = TASKS[name](task.config, task.slot_encoders, json.loads(json.dumps(task.state)))

    assert restored.head_config() == task.head_config()


@every_task
def test_training_rows_become_signals_and_targets(name):
    task, _ = build_task(name)
    rows = sample(name)

    columns = task.encode(rows)
    augmented = task.augment(columns, np.random.default_rng(0))
    arrays = task.collate(augmented)

    assert augmented.keys() == columns.keys()
    # One entry per row, or per window into which texts are packed.
    assert len({len(array) for array in arrays.values()}) == 1
    assert set(task.slots) - task.table_slots <= arrays.keys()


@every_task
def test_a_dataset_that_fits_has_no_problems(name):
    assert TASKS[name].check_dataset(samples.dataset(samples.columns_read_by(TASKS[name])).summary) == []


@every_task
def test_every_missing_column_is_reported(name):
    reasons = TASKS[name].check_dataset(image_models.summary(columns={"words": "other"}, splits={}))

    for column in TASKS[name].columns:
        assert any(f"needs a column {column!r}" in reason for reason in reasons)
    assert any("no rows to train on" in reason for reason in reasons)


@every_task
def test_every_slot_reads_the_signal_of_its_encoder(name):
    task = TASKS[name]
    for name, slot in task.slots.items():
        assert ENCODERS[task.encoders[name]].signal in slot.reads
        assert name in task.table_slots or task.encoded_columns[name] in samples.columns_read_by(task)


@every_task
def test_every_metric_has_a_description(name):
    for metric in TASKS[name].metrics.values():
        assert len(metric.summary.split()) > 5
