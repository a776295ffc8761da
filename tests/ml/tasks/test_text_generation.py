import math

import numpy as np
import pytest

from ml.data.dataset import DatasetSummary
from ml.data.rows import Rows
from ml.encoders import ENCODERS
from ml.errors import InputError
from ml.tasks.text_generation import TextGeneration, TextGenerationConfig

TEXTS = ["the cat sat", "the dog ran away", "世界"]
PROMPTS = ["Who sat?", "Who ran?", "What is it?"]


def build(*, prompted=False, length=32):
    encoder = ENCODERS["text"].learn(TEXTS + PROMPTS, {"max_length": length})
    state = {"prompted": prompted, "state_shapes": [[2, 3], [2, 3]], "context": length}
    return TextGeneration(TextGenerationConfig(), {"text": encoder}, state)


def rows(*, prompted=False):
    return Rows({"prompt": PROMPTS, "text": TEXTS} if prompted else {"text": TEXTS})


def collate(task, *inputs):
    rows = [task.read(raw_input, parameters={}) for raw_input in inputs]
    return task.collate(task.encode(Rows({name: [row[name] for row in rows] for name in rows[0]})))


def test_texts_become_windows_and_every_character_is_counted_once():
    task = build()
    columns = task.encode(rows())
    encoder = task.slot_encoders["text"]
    assert "".join(sorted("".join(encoder.decode(window) for window in columns["text"]))) == "".join(
        sorted("".join(TEXTS))
    )
    assert columns["characters"].sum() == sum(map(len, TEXTS))
    assert all(len(window) <= 32 for window in columns["text"])


def test_a_prompt_is_read_but_not_learned():
    task = build(prompted=True)
    arrays = task.collate(task.encode(rows(prompted=True)))
    encoder = task.slot_encoders["text"]
    learned = "".join(
        encoder.decode(tokens[weight > 0]) for tokens, weight in zip(arrays["text"], arrays["text_weight"], strict=True)
    )
    assert sorted(learned) == sorted("".join(TEXTS))
    assert not arrays["text_weight"][~arrays["text_mask"]].any()


def test_a_request_is_encoded_as_a_training_row():
    task = build(prompted=True)
    trained = task.encode(rows(prompted=True).take([0]))["text"][0]
    batch = collate(task, {"prompt": PROMPTS[0]})
    tokens = batch["text"][0][batch["text_mask"][0]]
    np.testing.assert_array_equal(tokens, trained[: len(tokens)])
    assert batch["text_state_0"].shape == (1, 2, 0, 3)


def test_messages_become_a_prompt():
    task = build()
    messages = [{"role": "user", "content": "Who sat?"}]
    by_messages = task.read({"messages": messages}, parameters={})["prompt"]
    assert by_messages == "User: Who sat?\n\nAssistant:"
    with pytest.raises(InputError, match="either"):
        task.read({"messages": messages, "prompt": "x"}, parameters={})


def test_a_prompt_that_is_too_long_is_cut_to_its_end_and_counted():
    task = build(length=16)
    batch = collate(task, {"prompt": "a" * 40 + "the end"})
    tokens = batch["text"][0]
    encoder = task.slot_encoders["text"]
    assert (len(tokens), tokens[0]) == (16, encoder.token("begin"))
    assert encoder.decode(tokens).endswith("the end")
    assert encoder.pop_losses() == {"cut to their last 15 tokens": 1}


def test_an_empty_prompt_starts_a_text():
    task = build()
    assert collate(task, {})["text"].tolist() == [[task.slot_encoders["text"].token("begin")]]


def test_a_seed_is_used_and_chosen_at_random_without_one():
    task = build()
    seeds = {task.read({}, parameters={})["params"].seed for _ in range(4)}
    assert len(seeds) > 1
    assert task.read({"seed": 5}, parameters={})["params"].seed == 5


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1}, {"top_p": 0}, {"top_k": 0}, {"max_new_tokens": 0}, {"stop": [""]}, {"stop": ["a"] * 9}],
)
def test_an_invalid_option_raises_an_input_error(options):
    with pytest.raises(InputError):
        build().read({"prompt": "x", **options}, parameters={})


def test_metrics_equal_their_formulas():
    task = build()
    columns = task.encode(rows())
    tokens = sum(len(window) - 1 for window in columns["text"])
    outputs = {
        "token_loss": np.full(len(columns["text"]), 2.0),
        "weight": np.array([len(w) - 1.0 for w in columns["text"]]),
    }
    evaluation = task.evaluate(outputs, columns, train=columns)
    loss, characters = 2.0 * len(columns["text"]), sum(map(len, TEXTS))
    assert evaluation.metrics["loss"] == pytest.approx(loss / tokens)
    assert evaluation.metrics["perplexity"] == pytest.approx(math.exp(loss / tokens))
    assert evaluation.metrics["bits_per_character"] == pytest.approx(loss / math.log(2) / characters)
    assert evaluation.baseline["loss"] < math.log(task.slot_encoders["text"].shape()["vocabulary"])


def test_collect_returns_two_numbers_per_window():
    outputs = {"token_loss": np.ones((3, 5), dtype=np.float32), "weight": np.eye(3, 5, dtype=np.float32)}
    arrays = build().collect(outputs, {}, dict)
    assert {name: array.tolist() for name, array in arrays.items()} == {"token_loss": [1, 1, 1], "weight": [1, 1, 1]}


def test_the_vocabulary_grows_with_the_text():
    def vocabulary_size(characters):
        summary = DatasetSummary(
            format="x",
            columns={"text": "text"},
            splits={"train": 10},
            facts={"text": {"mean_characters": characters / 10}},
        )
        return TextGeneration.encoder_options(summary)["text"]["vocabulary_size"]

    assert [vocabulary_size(characters) for characters in (10, 1_100_000, 10**12)] == [512, 1024, 16_384]
