"""What holds for each task, whatever it is for."""

import json

import numpy as np
import pytest

from ml.data.rows import Rows
from ml.encoders import ENCODERS
from ml.tasks import TASKS
from tests.ml import pictures

OUTPUTS = {
    "classifier": lambda rows: {"logits": np.random.default_rng(3).normal(size=(rows, len(pictures.CLASSES)))},
    "image_decoder": lambda rows: {"image": np.random.default_rng(3).uniform(size=(rows, 1, 8, 8))},
}
"""By head, what a network answers."""
LATENT = type("Widths", (), {"latent": 4})()

every_task = pytest.mark.parametrize("name", list(TASKS))


def built(name):
    """A task that has learned from toy data, as training builds it."""
    kind, rows, summary = TASKS[name], pictures.rows(), pictures.summary()
    config = kind.config_type()
    encoders = {
        slot: ENCODERS[encoder].learn(rows.columns[kind.reads[slot]], {}) for slot, encoder in kind.encoders.items()
    }
    task = kind(config, encoders, kind.learn(config, summary, rows))
    task.note_widths(dict.fromkeys(kind.slots, LATENT))
    return task


def asked(task, count):
    rows = [task.read(task.example()[0], parameters={}) for _ in range(count)]
    return Rows({name: [row[name] for row in rows] for name in rows[0]})


@every_task
def test_the_example_survives_json(name):
    task = built(name)
    given, answer = task.example()

    sent = json.loads(given.model_dump_json())
    returned = json.loads(answer.model_dump_json())

    assert task.input_type.model_validate(sent) == given
    assert task.output_type.model_validate(returned) == answer
    assert task.read(sent, parameters={}).keys() == task.read(given, parameters={}).keys()


@every_task
def test_inference_reads_what_the_graph_is_said_to_read(name):
    task = built(name)

    arrays = task.collate(task.encode(asked(task, 2)))

    assert set(task.graph_inputs) <= arrays.keys()
    assert all(len(arrays[each]) == 2 for each in task.graph_inputs)


@every_task
def test_a_batch_of_many_equals_many_of_one(name):
    task = built(name)
    rows = asked(task, 4)

    whole = task.collate(task.encode(rows))

    for index in range(len(rows)):
        single = task.collate(task.encode(rows.take([index])))
        for array in task.graph_inputs:
            np.testing.assert_array_equal(single[array][0], whole[array][index])


@every_task
def test_each_row_gets_one_valid_answer_in_order(name):
    task = built(name)
    arrays = {**task.collate(task.encode(asked(task, 5))), **OUTPUTS[task.head](5)}

    answers = task.decode(arrays)

    assert len(answers) == 5
    for index, answer in enumerate(answers):
        assert task.output_type.model_validate_json(answer.model_dump_json()) == answer
        alone = task.decode({key: each[index : index + 1] for key, each in arrays.items()})
        assert alone == [answer]


@every_task
def test_a_row_is_shown_as_the_input_it_would_have_been(name):
    task = built(name)

    given, target = task.show(pictures.rows()[1])

    task.read(json.loads(given.model_dump_json()), parameters={})
    json.dumps(target)


@every_task
def test_what_was_learned_is_json(name):
    task = built(name)

    again = TASKS[name](task.config, task.slot_encoders, json.loads(json.dumps(task.state)))

    assert again.head_config() == task.head_config()


@every_task
def test_training_rows_become_signals_and_targets(name):
    task = built(name)
    rows = pictures.rows()

    columns = task.encode(rows)
    changed = task.augment(columns, np.random.default_rng(0))
    arrays = task.collate(changed)

    assert changed.keys() == columns.keys()
    assert all(len(each) == len(rows) for each in arrays.values())
    assert set(task.slots) <= arrays.keys()


@every_task
def test_a_fitting_dataset_is_not_refused(name):
    assert TASKS[name].refuse(pictures.summary()) == []


@every_task
def test_every_missing_column_is_told(name):
    reasons = TASKS[name].refuse(pictures.summary(columns={"words": "text"}, splits={}))

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
