"""Requests of clients of text-embeddings-inference."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from tests.support.api_process import ApiProcess

pytestmark = pytest.mark.process

TEXTS: Final = ["a quiet film", "the sea"]


@pytest.fixture(scope="module")
def post(api: ApiProcess) -> Callable[..., Any]:
    def post(path: str, *, status: int = 200, **body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        answered, _, answer = api.request("POST", f"/hf/{path}", headers=headers, body=json.dumps(body).encode())
        assert answered == status, answer
        return json.loads(answer)

    return post


def test_vectors_have_the_length_one_unless_they_shall_not(post: Any, native: Any) -> None:
    expected = [output["embedding"] for output in native("embedder", *({"text": text} for text in TEXTS))]
    np.testing.assert_allclose(post("embedder/embed", inputs=TEXTS, normalize=False), expected, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(post("embedder/embed", inputs=TEXTS), axis=1), 1)
    assert post("text_classification/embed", inputs=TEXTS[0], truncate=True)


def test_texts_get_the_scores_of_all_classes(post: Any, native: Any) -> None:
    outputs = native("text_classification", *({"text": text} for text in TEXTS))
    single, several = (post("text_classification/predict", inputs=inputs) for inputs in (TEXTS[0], TEXTS))
    for answer, output in zip([single, *several], [outputs[0], *outputs], strict=True):
        assert {item["label"]: item["score"] for item in answer} == pytest.approx(output["probabilities"], rel=1e-5)
        assert answer[0]["label"] == output["label"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("embedder/embed", {"inputs": ["a film", "a quiet film " * 40]}),
        ("text_classification/predict", {"inputs": ["a film", "a quiet film " * 40]}),
        ("text_classification", {"inputs": ["a film", "a quiet film " * 40]}),
        ("embedder/rerank", {"query": "a film", "texts": ["a quiet film " * 40]}),
        ("embedder/similarity", {"inputs": {"source_sentence": "a film", "sentences": ["a quiet film " * 40]}}),
    ],
)
def test_a_header_lists_the_texts_that_were_cut(api: ApiProcess, path: str, body: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json"}
    status, named, answer = api.request("POST", f"/hf/{path}", headers=headers, body=json.dumps(body).encode())
    assert status == 200, answer
    cut = {name.lower(): value for name, value in named.items()}["x-truncated"]
    index, read, length = map(int, re.fullmatch(r"(\d+)=(\d+)/(\d+)", cut).groups())
    assert index == 1
    assert read < length
    short = json.dumps({"inputs": "a film"}).encode()
    _, named, _ = api.request("POST", "/hf/embedder/embed", headers=headers, body=short)
    assert "x-truncated" not in {name.lower() for name in named}


def test_lists_of_one_text_are_texts(post: Any) -> None:
    nested = post("text_classification/predict", inputs=[[text] for text in TEXTS], raw_scores=False)
    assert nested == post("text_classification/predict", inputs=TEXTS)


def test_texts_are_embedded_by_the_path_of_openai_below_a_model(post: Any, native: Any) -> None:
    texts = ["sea", "ice"]
    expected = [output["embedding"] for output in native("embedder", *({"text": text} for text in texts))]
    for model in ({}, {"model": "text-embeddings-inference"}):
        answer = post("embedder/v1/embeddings", input=texts, **model)
        np.testing.assert_allclose([row["embedding"] for row in answer["data"]], expected, rtol=1e-5)
        assert answer["model"] == "embedder@1"


def test_sentences_are_compared(post: Any) -> None:
    inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS}
    first, second = post("text_classification/similarity", inputs=inputs)
    assert first == pytest.approx(1)
    assert second < first


def test_texts_are_ranked_by_their_similarity_to_a_query(post: Any) -> None:
    texts = [TEXTS[1], TEXTS[0]]
    similarities = post("text_classification/similarity", inputs={"source_sentence": TEXTS[0], "sentences": texts})
    raw = post("text_classification/rerank", query=TEXTS[0], texts=texts, raw_scores=True, return_text=True)
    assert [(item["index"], item["text"]) for item in raw] == [(1, TEXTS[0]), (0, TEXTS[1])]
    # The graph is the same; only the batch may differ by the last bit of float32.
    assert [item["score"] for item in raw] == pytest.approx([similarities[1], similarities[0]], rel=1e-5)
    scores = post("text_classification/rerank", query=TEXTS[0], texts=texts)
    assert [item["score"] for item in scores] == pytest.approx([(1 + item["score"]) / 2 for item in raw], rel=1e-5)


def test_tokens_have_their_place_in_the_text(post: Any) -> None:
    plain, whole = (
        post("embedder/tokenize", inputs=TEXTS, add_special_tokens=has_special) for has_special in (False, True)
    )
    for text, tokens in zip(TEXTS, plain, strict=True):
        assert "".join(token["text"] for token in tokens) == text
        assert [text[token["start"] : token["stop"]] for token in tokens] == [token["text"] for token in tokens]
    special = [token for token in whole[0] if token["special"]]
    assert len(whole[0]) == len(plain[0]) + len(special)
    assert all(token["start"] is None for token in special)


def test_numbers_are_predicted_for_the_rows_of_a_table(post: Any, native: Any) -> None:
    records = [{"length": 5.1, "width": 3.5}, {"length": 2, "width": 1}]
    values = [output["value"] for output in native("tabular_regression", *records)]
    table = {"length": [5.1, "2"], "width": ["3.5", 1]}
    for body in ({"table": table}, {"inputs": {"data": table}}, {"inputs": table}):
        assert post("tabular_regression", **body) == pytest.approx(values)


REFUSED: Final[dict[str, tuple[str, dict[str, Any], str]]] = {
    "no inputs": ("embedder/embed", {}, "inputs: must be a text"),
    "a number": ("embedder/embed", {"inputs": ["a", 1]}, "inputs.1"),
    "an empty list": ("embedder/embed", {"inputs": []}, "has 0 inputs"),
    "a misspelled field": ("embedder/embed", {"inputs": "a", "normalise": True}, "Did you mean 'normalize'"),
    "a flag as text": ("embedder/embed", {"inputs": "a", "normalize": "yes"}, "true or false"),
    "raw scores": ("text_classification/predict", {"inputs": "a", "raw_scores": True}, "calibrated probabilities"),
    "classes of a base model": ("embedder/predict", {"inputs": "a"}, "POST /hf/embedder/embed for vectors"),
    "texts of a model of images": ("image_classification/embed", {"inputs": "a"}, "embeds no texts"),
    "sentences of a model of images": (
        "image_classification/similarity",
        {"inputs": {"source_sentence": "a", "sentences": ["b"]}},
        "embeds no texts",
    ),
    "pairs": ("text_classification/predict", {"inputs": [["a", "b"]]}, "inputs.0"),
    "no query": ("embedder/rerank", {"texts": ["a"]}, "query: must be a text"),
    "no texts to rank": ("embedder/rerank", {"query": "a", "texts": []}, "texts: must be a list of 1"),
    "a text to rank that is a number": ("embedder/rerank", {"query": "a", "texts": ["b", 1]}, "texts.1"),
    "texts to rank by a model of images": (
        "image_classification/rerank",
        {"query": "a", "texts": ["b"]},
        "embeds no texts",
    ),
    "no sentences": ("embedder/similarity", {"inputs": "a"}, "source_sentence and sentences"),
    "a sentence that is a number": (
        "embedder/similarity",
        {"inputs": {"source_sentence": "a", "sentences": [1]}},
        "inputs.sentences.0",
    ),
    "tokens of a model of images": ("image_classification/tokenize", {"inputs": "a"}, "reads no texts"),
    "parameters that are a list": ("embedder", {"inputs": "a", "parameters": [1]}, "parameters: must be an object"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_the_member_error(post: Any, case: str) -> None:
    path, body, words = REFUSED[case]
    assert words in post(path, status=422, **body)["error"]


def test_a_form_or_broken_json_is_refused(api: ApiProcess) -> None:
    for content_type, body, status in (
        ("multipart/form-data; boundary=a", b"--a--", 415),
        ("application/json", b"[", 422),
    ):
        answered, _, answer = api.request("POST", "/hf/embedder", headers={"Content-Type": content_type}, body=body)
        assert answered == status, answer
