"""Every model that reads texts says how much of one it read."""

import json

import numpy as np
import pytest

from ml.encoders.text import TextEncoder
from ml.errors import InputError
from ml.inference.predictor import Predictor
from ml.learning.export.packaging import pack
from ml.spec.catalog import Catalog
from ml.tasks import TASKS
from tests.support.ml import packages, samples

CATALOG = Catalog.load()
TEXT_TASKS = [
    name
    for name, entry in CATALOG.tasks.items()
    if any(
        slot.encoder in ("text", "characters")
        for name_of_slot, slot in entry.slots.items()
        if name_of_slot not in TASKS[name].table_slots
    )
]


@pytest.fixture(scope="module")
def predictors(tmp_path_factory):
    loaded = {}

    def load(name):
        if name not in loaded:
            loaded[name] = Predictor.load(packages.make_untrained(name, tmp_path_factory.mktemp(name) / "package"))
        return loaded[name]

    return load


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A base model of texts."""
    plan = packages.make_toy_plan("text_classification")
    package = pack(
        plan.network().eval(),
        tmp_path_factory.mktemp("base") / "package",
        architectures=plan.architectures,
        encoders=plan.encoders,
        task=None,
        head=None,
        reader=plan.reader,
        rows=samples.dataset(samples.columns_read_by(TASKS["text_classification"])).rows("train")[:7],
    )
    return Predictor.load(package)


def input_of(task, text):
    """An input whose first field of text is `text`; without options that take time."""
    fields = task.input_type.model_fields
    field = "prompt" if "prompt" in fields else "text"
    cheap = {"max_new_tokens": 1, "temperature": 0, "seed": 1, "beams": 1, "max_length": 2}
    return {field: text, **{name: value for name, value in cheap.items() if name in fields}}


def length_of(predictor, text):
    encoder = predictor._adapter.slot_encoders["text"]
    return len(encoder.tokenize_whole([text])[0]), encoder.config.max_length


@pytest.mark.parametrize("name", TEXT_TASKS)
@pytest.mark.parametrize("words", [300, 5000])
def test_a_text_that_is_too_long_is_refused_or_its_tokens_are_counted(name, words, predictors):
    task, predictor = TASKS[name], predictors(name)
    sentence = task.example()[0].text if name == "speech_synthesis" else "a quiet film"
    text = " ".join([sentence] * words)
    inputs = [input_of(task, sentence), input_of(task, text)]
    try:
        short, cut = predictor.predict(inputs)
    except InputError as error:
        assert "limit" in error.message  # noqa: PT017 - some tasks refuse long texts
        return
    length, max_length = length_of(predictor, text)
    assert "truncated" not in short
    assert cut["truncated"]["of"] == length
    assert max_length - 2 <= cut["truncated"]["kept"] <= max_length - 1
    assert task.output_type.model_validate_json(json.dumps(cut)).to_json() == cut
    assert predictor.predict(inputs[1:])[0]["truncated"] == cut["truncated"]
    assert "truncated" in predictor.signature()["output_schema"]["properties"]


@pytest.mark.parametrize("name", [name for name in TEXT_TASKS if name != "speech_synthesis"])
def test_a_text_of_exactly_the_limit_is_not_truncated(name, predictors):
    predictor = predictors(name)
    _, max_length = length_of(predictor, "")
    encoder = predictor._adapter.slot_encoders["text"]
    one = next(word for word in ("a", "film", "x") if len(encoder.tokenize_whole([word, f"{word} {word}"])[1]) == 2)
    limit = max_length - (1 if name == "text_generation" else 2)
    texts = [" ".join([one] * count) for count in (limit, limit + 1)]

    whole, cut = predictor.predict([input_of(TASKS[name], text) for text in texts])

    assert "truncated" not in whole
    assert cut["truncated"] == {"kept": limit, "of": limit + 1}


def test_windows_of_a_text_are_averaged(predictors):
    predictor = predictors("text_classification")
    text = "a quiet film " * 40 + "dull"

    short, joined = predictor.predict([{"text": "dull"}, {"text": text}], parameters={"long_texts": "windows"})

    encoder = predictor._adapter.slot_encoders["text"]
    windows = encoder.split(text, has_windows=True)
    outputs = predictor.answer([{"text": window} for window in windows], output=None)
    mean = np.mean([list(output["probabilities"].values()) for output in outputs], axis=0)
    assert short["windows"] == 1
    assert joined["windows"] == len(windows) > 2
    assert "truncated" not in joined
    assert list(joined["probabilities"].values()) == pytest.approx(mean.tolist())
    assert joined["confidence"] == pytest.approx(mean.max())
    assert sum(joined["probabilities"].values()) == pytest.approx(1)


def test_the_end_of_a_text_counts_in_windows_alone(predictors):
    predictor = predictors("text_classification")
    texts = [{"text": "a quiet film " * 40 + end} for end in ("dull dull", "moving moving")]

    cut, windows = (predictor.predict(texts, parameters={"long_texts": mode}) for mode in ("cut", "windows"))

    assert cut[0] == cut[1]
    assert windows[0]["probabilities"] != windows[1]["probabilities"]


def test_more_windows_than_a_batch_holds_are_joined(predictors):
    predictor = predictors("text_classification")
    texts = [{"text": "a quiet film " * count, "long_texts": "windows"} for count in (1, 900, 2, 700)]

    outputs = predictor.predict(texts)

    assert len(outputs) == 4
    assert [output["windows"] for output in outputs[::2]] == [1, 1]
    assert outputs[1]["windows"] > 64
    assert outputs[1] == predictor.predict(texts[1:2])[0]


def test_embeddings_say_what_they_read_and_are_averaged_over_windows(predictors, base):
    text = {"text": "a quiet film " * 40 + "dull"}
    length, max_length = length_of(base, text["text"])
    for predictor, parameters in ((base, {}), (predictors("text_classification"), {"return": "embedding"})):
        (cut,) = predictor.predict([text], parameters=parameters)
        (joined,) = predictor.predict([text], parameters={**parameters, "long_texts": "windows"})
        assert cut["truncated"] == {"kept": max_length - 2, "of": length}
        assert joined.keys() == {"embedding", "windows"}
        assert joined["embedding"] != cut["embedding"]
    assert base.signature()["output_schema"]["properties"].keys() == {"embedding", "truncated", "windows"}


def test_candidates_that_were_cut_say_so(predictors):
    predictor = predictors("image_text_matching")
    long, very_long = "a quiet film " * 50, "a quiet film " * 1000
    candidates = ["a film", long, very_long]
    pixels = [[0, 255], [255, 0]]

    ranked, embedded = predictor.predict([{"pixels": pixels, "candidates": candidates}, {"text": long}])

    truncation = {score["text"]: score.get("truncated") for score in ranked["scores"]}
    lengths = {text: length_of(predictor, text)[0] for text in candidates}
    assert truncation["a film"] is None
    assert [truncation[text]["of"] for text in (long, very_long)] == [lengths[long], lengths[very_long]]
    assert "truncated" not in ranked
    assert embedded["truncated"]["of"] == lengths[long]


def test_a_streamed_text_says_how_much_of_its_prompt_was_read(predictors):
    predictor = predictors("text_generation")
    raw_input = input_of(TASKS["text_generation"], "a quiet film " * 500)
    (row,) = predictor.read_rows(raw_input, predictor.parse_parameters({}))
    loop, sequence = predictor.generation_loop(), predictor.start_sequence(row)
    loop.join([sequence])
    while loop.is_busy:
        loop.step()

    output = predictor.finish_sequence(sequence)

    assert output == predictor.predict([raw_input])[0]
    assert output["truncated"]["kept"] == output["prompt_tokens"] - 1


@pytest.mark.parametrize("value", ["window", 1, None])
def test_another_value_of_long_texts_is_refused(value, predictors):
    with pytest.raises(InputError, match="long_texts"):
        predictors("text_classification").predict([{"text": "a film", "long_texts": value}])


def test_tasks_that_cannot_average_refuse_windows(predictors):
    with pytest.raises(InputError, match="long_texts"):
        predictors("translation").predict([{"text": "a film"}], parameters={"long_texts": "windows"})


def test_an_encoder_of_text_reads_tokenized_and_plain_texts_together():
    encoder = TextEncoder.learn(["good film", "bad film"] * 5, {})
    windows = encoder.split("good film " * 50, has_windows=True)

    rows = encoder.encode([*windows, "good"])

    assert [len(row) for row in rows[:-1]] == [len(window.tokens) for window in windows]
    assert rows[-1].tolist() == encoder.encode(["good"])[0].tolist()
