"""Hugging Face's newest InferenceClient, unchanged, asks models of a real service."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from ml.tasks import TASKS
from tests.support.api_process import ApiProcess
from tests.support.factories import png

pytestmark = [
    pytest.mark.process,
    pytest.mark.client(
        "huggingface_hub InferenceClient",
        "huggingface-hub",
        "image, text, audio, tables, detection, generation, embeddings",
    ),
]

Native = Callable[..., list[dict[str, Any]]]

TEXT: Final = "a quiet film"
IMAGE: Final = png(200)
RECORDS: Final = [{"length": 5.1, "width": 3.5, "site": "north"}, {"length": 2.0, "width": 1.0, "site": "south"}]
TABLE: Final = {name: [str(record[name]) for record in RECORDS] for name in RECORDS[0]}


@pytest.fixture(scope="module")
def url(api: ApiProcess) -> str:
    return f"http://127.0.0.1:{api.port}/hf"


@pytest.fixture
def ask(api: ApiProcess, url: str) -> Iterator[Callable[[str], InferenceClient]]:
    with InferenceClient(token=api.key) as client:

        def of_model(model: str) -> InferenceClient:
            client.model = f"{url}/{model}"
            return client

        yield of_model


def clip() -> bytes:
    audio = TASKS["audio_classification"].example()[0].model_dump(mode="json")["audio"]
    return base64.b64decode(audio)


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def best(probabilities: dict[str, float]) -> list[tuple[str, Any]]:
    ordered = sorted(probabilities.items(), key=lambda item: -item[1])
    return [(label, pytest.approx(score, rel=1e-5)) for label, score in ordered]


@pytest.mark.parametrize("top_k", [None, 2])
def test_texts_images_and_clips_are_classified(ask: Any, native: Native, top_k: int | None) -> None:
    (text,) = native("text_classification", {"text": TEXT})
    answer = ask("text_classification").text_classification(TEXT, top_k=top_k)
    assert [(item.label, item.score) for item in answer] == best(text["probabilities"])[:top_k]
    (image,) = native("image_classification", {"image": encode(IMAGE)})
    answer = ask("image_classification").image_classification(IMAGE, top_k=top_k)
    assert [(item.label, item.score) for item in answer] == best(image["probabilities"])[:top_k]
    (sound,) = native("audio_classification", {"audio": encode(clip())})
    answer = ask("audio_classification@1").audio_classification(clip(), top_k=top_k)
    assert [(item.label, item.score) for item in answer] == best(sound["probabilities"])[:top_k]


def test_objects_have_boxes_in_whole_pixels(ask: Any, native: Native) -> None:
    (output,) = native("object_detection", {"image": encode(IMAGE), "confidence": 0.01})
    answer = ask("object_detection").object_detection(IMAGE, threshold=0.01)
    boxes = [(item.label, (item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax)) for item in answer]
    assert boxes == [(item["label"], tuple(map(round, item["box"]))) for item in output["objects"]]
    assert boxes


def test_texts_are_translated_and_summarized(ask: Any, native: Native) -> None:
    (output,) = native("translation", {"text": TEXT, "beams": 2, "max_length": 5})
    client = ask("translation")
    options = {"num_beams": 2, "max_new_tokens": 5}
    assert client.translation(TEXT, generate_parameters=options).translation_text == output["text"]
    assert client.summarization(TEXT, generate_parameters=options).summary_text == output["text"]


def test_text_is_generated_whole_in_pieces_and_with_details(ask: Any) -> None:
    client = ask("stories")
    options: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False}
    assert client.text_generation("世", **options) == "aé世aé世"
    assert client.text_generation("世", return_full_text=True, **options) == "世aé世aé世"
    assert "".join(client.text_generation("世", stream=True, **options)) == "aé世aé世"
    whole = client.text_generation("世", details=True, **options)
    assert (whole.details.finish_reason, whole.details.generated_tokens) == ("length", 12)
    tokens = whole.details.tokens
    # Tokens are bytes here: the last one of a character has it.
    assert [token.text for token in tokens[:6]] == ["a", "", "é", "", "", "世"]
    assert all(token.logprob <= 0 for token in tokens)
    *pieces, last = client.text_generation("世", details=True, stream=True, **options)
    assert [piece.token.text for piece in pieces] == [token.text for token in tokens]
    assert [piece.token.id for piece in pieces] == [token.id for token in tokens]
    assert (last.generated_text, last.details.finish_reason) == ("aé世aé世", "length")
    assert client.text_generation("世", stop=["世"], **options) == "aé"


def test_the_stream_of_a_client_that_nothing_keeps_ends_without_harm(ask: Any, api: ApiProcess, url: str) -> None:
    options: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "stream": True}
    abandoned = InferenceClient(f"{url}/stories", token=api.key).text_generation("世", **options)
    with pytest.raises(Exception, match="stream has been closed"):
        list(abandoned)
    assert "".join(ask("stories").text_generation("世", **options)) == "aé世aé世"


def test_a_conversation_is_replied_to(ask: Any) -> None:
    messages = [{"role": "user", "content": "世"}]
    options: dict[str, Any] = {"max_tokens": 12, "temperature": 0}
    reply = ask("stories").chat_completion(messages, **options)
    assert reply.choices[0].message.content == "aé世aé世"
    pieces = ask("stories").chat.completions.create(messages, stream=True, **options)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "aé世aé世"


def test_speech_is_recognized_and_synthesized_and_images_are_drawn(ask: Any, native: Native) -> None:
    (text,) = native("speech_recognition", {"audio": encode(clip())})
    assert ask("speech_recognition").automatic_speech_recognition(clip()).text == text["text"]
    (sound,) = native("speech_synthesis", {"text": "old"})
    assert ask("speech_synthesis").text_to_speech("old") == base64.b64decode(sound["audio"])
    (drawn,) = native("image_generation", {"label": "1", "seed": 3})
    image = ask("image_generation").text_to_image("1", seed=3)
    assert image.format == "PNG"
    assert image.tobytes() == ask("image_generation").text_to_image("1", seed=3).tobytes()
    assert len(base64.b64decode(drawn["image"])) > 0


def test_rows_of_a_table_are_predicted(ask: Any, native: Native) -> None:
    classes = [output["label"] for output in native("tabular_classification", *RECORDS)]
    assert ask("tabular_classification").tabular_classification(TABLE) == classes


def test_a_base_model_and_by_its_name_any_other_embeds_texts(ask: Any, native: Native) -> None:
    texts = [TEXT, "the sea"]
    for model, path in (
        ("embedder", "embedder"),
        ("text_classification", "text_classification/pipeline/feature-extraction"),
    ):
        expected = [
            output["embedding"]
            for output in native(model, *({"text": text} for text in texts), **{"return": "embedding"})
        ]
        np.testing.assert_allclose(ask(path).feature_extraction(texts), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ask(path).feature_extraction(texts[0]), expected[:1], rtol=1e-5, atol=1e-6)
    unit = ask(path).feature_extraction(TEXT, normalize=True)
    assert np.linalg.norm(unit) == pytest.approx(1)


def test_sentences_are_compared_by_their_embeddings(ask: Any) -> None:
    path = "text_classification/pipeline/sentence-similarity"
    same, other = ask(path).sentence_similarity(TEXT, [TEXT, "the sea is loud"])
    assert same == pytest.approx(1)
    assert -1 <= other < same
    assert ask("embedder").sentence_similarity(TEXT, [TEXT]) == [pytest.approx(1)]


def test_labels_of_a_request_are_compared_with_an_image_or_a_text(ask: Any, native: Native) -> None:
    labels = ["dark", "light", "gray"]
    templated = [f"a {label} thing" for label in labels]
    client = ask("image_text_matching")
    for answer, raw_input in (
        (
            client.zero_shot_image_classification(IMAGE, labels, hypothesis_template="a {} thing"),
            {"image": encode(IMAGE), "candidates": templated},
        ),
        (
            client.zero_shot_classification(TEXT, labels, hypothesis_template="a {} thing"),
            {"text": TEXT, "candidates": templated},
        ),
    ):
        (output,) = native("image_text_matching", raw_input)
        expected = [
            (item["text"].split()[1], pytest.approx(item["probability"], rel=1e-4)) for item in output["scores"]
        ]
        assert [(item.label, item.score) for item in answer] == expected


def test_the_asynchronous_client_gets_the_same(api: ApiProcess, url: str, native: Native) -> None:
    async def classify() -> list[Any]:
        async with AsyncInferenceClient(f"{url}/text_classification", token=api.key) as client:
            return list(await asyncio.gather(*(client.text_classification(text) for text in (TEXT, "the sea"))))

    expected = native("text_classification", {"text": TEXT}, {"text": "the sea"})
    answers = asyncio.run(classify())
    assert [answer[0].label for answer in answers] == [output["label"] for output in expected]


def test_a_model_says_what_it_is_and_that_it_can_be_used(ask: Any) -> None:
    ask("text_classification").provider = "hf-inference"  # the only one that has this call
    info = ask("text_classification").get_endpoint_info()
    assert info["model_id"] == "text_classification@1"
    assert info["model_type"]["classifier"]["id2label"] == {"0": "0", "1": "1", "2": "2"}
    assert ask("text_classification").health_check()
    assert not ask("nothing").health_check()


REFUSED: Final[dict[str, tuple[Callable[[Any], object], str]]] = {
    "no image": (lambda ask: ask("image_classification").image_classification(b"x"), "inputs: "),
    "a blank text": (lambda ask: ask("text_classification").text_classification(" "), "more than whitespace"),
    "a sigmoid": (
        lambda ask: ask("text_classification").text_classification("a", function_to_apply="sigmoid"),
        "calibrated probabilities",
    ),
    "no classes": (lambda ask: ask("text_classification").text_classification("a", top_k=0), "parameters.top_k"),
    "a language": (
        lambda ask: ask("translation").translation("a", src_lang="en", tgt_lang="de"),
        "the languages of its data",
    ),
    "an unknown class": (lambda ask: ask("image_generation").text_to_image("zero"), "known: 0, 1, 2"),
    "steps of diffusion": (
        lambda ask: ask("image_generation").text_to_image("1", num_inference_steps=3),
        "num_inference_steps",
    ),
    "columns of two lengths": (
        lambda ask: ask("tabular_classification").tabular_classification({"length": ["1"], "width": []}),
        "all of one length",
    ),
    "an unknown column": (
        lambda ask: ask("tabular_classification").tabular_classification({"lenght": ["1"]}),
        "Did you mean 'length'",
    ),
    "a width of vectors": (lambda ask: ask("embedder").feature_extraction("a", dimensions=8), "width"),
    "a text that may not be cut": (
        lambda ask: ask("embedder").feature_extraction("a quiet film " * 9, truncate=False),
        "inputs: has 116 tokens, and the model reads 6",
    ),
    "a label twice": (
        lambda ask: ask("image_text_matching").zero_shot_image_classification(IMAGE, ["a", "a"]),
        "a label twice",
    ),
    "a template without a place": (
        lambda ask: ask("image_text_matching").zero_shot_image_classification(
            IMAGE, ["a", "b"], hypothesis_template="x"
        ),
        "once",
    ),
    "a masked text": (lambda ask: ask("recommendation").fill_mask("a [MASK]"), "POST /predict/recommendation"),
    "an unknown model": (lambda ask: ask("storys").text_generation("a"), "Did you mean 'stories'"),
    "a grammar": (lambda ask: ask("stories").text_generation("a", grammar={"type": "json"}), "no fixed form"),
    "too many tokens": (lambda ask: ask("stories").text_generation("a", max_new_tokens=10**6), "max_new_tokens"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_in_the_message_of_the_exception(ask: Any, case: str) -> None:
    call, words = REFUSED[case]
    with pytest.raises(HfHubHTTPError) as caught:
        call(ask)
    assert words in str(caught.value)
    assert caught.value.response.status_code in (404, 422)


def test_a_wrong_key_is_refused(url: str) -> None:
    with pytest.raises(HfHubHTTPError, match="401"):
        InferenceClient(f"{url}/stories", token="wrong" * 9).text_generation("a")
