"""What holds for each task, whatever it is for."""

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
    """The training rows of a small dataset that has what the task needs."""
    return samples.dataset(TASKS[name].columns).rows("train")


@cache
def built(name):
    """A task that has learned from toy data, as training builds it, and the network for it."""
    plan = packages.make_toy_plan(name)
    network = plan.network().eval()
    assert plan.task is not None
    return plan.task, make_runner(network, TASKS[name].graphs, device=torch.device("cpu"))


def asked(task, count):
    rows = [task.read(task.example()[0], parameters={}) for _ in range(count)]
    return Rows({name: [row[name] for row in rows] for name in rows[0]})


@every_task
def test_the_example_survives_json(name):
    task, _ = built(name)
    given, answer = task.example()

    sent = json.loads(given.model_dump_json())
    returned = json.loads(answer.model_dump_json())

    assert task.input_type.model_validate(sent) == given
    assert task.output_type.model_validate(returned) == answer
    assert task.read(sent, parameters={}).keys() == task.read(given, parameters={}).keys()


@every_task
def test_inference_reads_what_the_graph_is_said_to_read(name):
    task, _ = built(name)

    arrays = task.collate(task.encode(asked(task, 2)))

    first = next(iter(task.graphs.values()))
    read = {array for arrays in task.graphs.values() for array in arrays}
    assert set(task.slots) <= read or not set(task.slots) & read
    assert any(each in arrays for each in first)
    assert all(len(arrays[each]) == 2 for each in first if each in arrays)


@every_task
def test_a_batch_of_many_equals_many_of_one(name):
    task, _ = built(name)
    rows = asked(task, 4)

    whole = task.collate(task.encode(rows))

    for index in range(len(rows)):
        single = task.collate(task.encode(rows.take([index])))
        for array in set(next(iter(task.graphs.values()))) & whole.keys():
            np.testing.assert_array_equal(single[array][0], whole[array][index])


@every_task
def test_each_row_gets_one_valid_answer_in_order(name):
    task, run = built(name)
    batch = task.collate(task.encode(asked(task, 5)))

    answers = task.decode({**batch, **task.answer(run, batch)})

    assert len(answers) == 5
    for answer in answers:
        sent = json.dumps(answer)
        assert task.output_type.model_validate_json(sent).to_json() == answer


@every_task
def test_a_row_is_shown_as_the_input_it_would_have_been(name):
    task, _ = built(name)

    given, target = task.show(sample(name)[1])

    task.read(json.loads(given.model_dump_json()), parameters={})
    json.dumps(target)


@every_task
def test_what_was_learned_is_json(name):
    task, _ = built(name)

    again = TASKS[name](task.config, task.slot_encoders, json.loads(json.dumps(task.state)))

    assert again.head_config() == task.head_config()


@every_task
def test_training_rows_become_signals_and_targets(name):
    task, _ = built(name)
    rows = sample(name)

    columns = task.encode(rows)
    changed = task.augment(columns, np.random.default_rng(0))
    arrays = task.collate(changed)

    assert changed.keys() == columns.keys()
    # As many as there are rows, or windows that texts were laid into.
    assert len({len(each) for each in arrays.values()}) == 1
    assert set(task.slots) <= arrays.keys()


@every_task
def test_a_fitting_dataset_is_not_refused(name):
    assert TASKS[name].refuse(samples.dataset(TASKS[name].columns).summary) == []


@every_task
def test_every_missing_column_is_told(name):
    reasons = TASKS[name].refuse(image_models.summary(columns={"words": "other"}, splits={}))

    for column in TASKS[name].columns:
        assert any(f"needs a column {column!r}" in reason for reason in reasons)
    assert any("no rows to train on" in reason for reason in reasons)


@every_task
def test_every_slot_has_an_encoder_of_a_signal_it_reads(name):
    task = TASKS[name]
    for slot, wanted in task.slots.items():
        assert ENCODERS[task.encoders[slot]].signal in wanted.reads
        assert task.reads[slot] in task.columns


@every_task
def test_every_metric_says_what_it_means(name):
    for metric in TASKS[name].metrics.values():
        assert len(metric.summary.split()) > 5
