"""Rankings by the clients of Cohere and LiteLLM, unchanged, and by plain requests."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.client_packages import packages_of, run
from tests.support.factories import register, shades
from tests.support.ml import packages

pytestmark = [
    pytest.mark.process,
    pytest.mark.client("cohere", "cohere", "rerank of Client and ClientV2, and its errors"),
]

QUERY: Final = "a quiet film"
DOCUMENTS: Final = ["the sea", "a quiet film", "a loud song"]
COHERE_PROGRAM: Final = """
import json, os

import cohere

address = {"base_url": os.environ["ADDRESS"], "api_key": os.environ["KEY"]}
query, documents = "a quiet film", ["the sea", "a quiet film", "a loud song"]
first = cohere.Client(**address).rerank(
    model="reviews", query=query, documents=[{"text": text} for text in documents], return_documents=True
)
client = cohere.ClientV2(**address)
second = client.rerank(model="reviews", query=query, documents=documents, top_n=2, max_tokens_per_doc=4096)
try:
    client.rerank(model="nothing", query=query, documents=documents)
except cohere.NotFoundError as error:
    refusal = error.body["message"]
print(json.dumps({
    "first": [[result.index, result.relevance_score, result.document.text] for result in first.results],
    "second": [[result.index, result.relevance_score] for result in second.results],
    "versions": [first.meta.api_version.version, second.meta.api_version.version],
    "refusal": refusal,
}))
"""
LITELLM_PROGRAM: Final = """
import json, os

import litellm

answer = litellm.rerank(
    model="cohere/reviews", query="a quiet film", documents=["the sea", "a quiet film", "a loud song"], top_n=2,
    api_base=os.environ["ADDRESS"], api_key=os.environ["KEY"],
)
print(json.dumps([[result["index"], result["relevance_score"]] for result in answer.results]))
"""


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api, folder = ApiProcess(new_home()), tmp_path_factory.mktemp("packages")
    with homes.use_home(api.home):
        register(packages.make_untrained("text_classification", folder / "reviews"), name="reviews")
        register(shades(folder / "shades"), name="shades")
    with api:
        yield api


@pytest.fixture(scope="module")
def post(api: ApiProcess) -> Callable[..., Any]:
    def post(path: str = "/v1/rerank", *, status: int = 200, **changes: Any) -> Any:
        body = {"model": "reviews", "query": QUERY, "documents": DOCUMENTS, **changes}
        headers = {"Content-Type": "application/json"}
        answered, _, answer = api.request("POST", path, headers=headers, body=json.dumps(body).encode())
        assert answered == status, answer
        return json.loads(answer)

    return post


@pytest.fixture(scope="module")
def expected(api: ApiProcess) -> list[tuple[int, float]]:
    """Position and score of each document, by the embeddings of `/predict`."""
    body = {"inputs": [{"text": text} for text in (QUERY, *DOCUMENTS)], "parameters": {"return": "embedding"}}
    headers = {"Content-Type": "application/json"}
    _, _, answer = api.request("POST", "/predict/reviews", headers=headers, body=json.dumps(body).encode())
    vectors = np.array([output["embedding"] for output in json.loads(answer)["outputs"]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = (1 + vectors[1:] @ vectors[0]) / 2
    return [(int(index), float(scores[index])) for index in np.argsort(-scores)]


def printed_by(program: str, api: ApiProcess, folder: Path, *, group: str) -> Any:
    """Return the output of a program that knows address and key alone."""
    environment = {
        "ADDRESS": f"http://127.0.0.1:{api.port}",
        "KEY": api.key,
        "PYTHONPATH": os.fspath(packages_of(group)),
        # LiteLLM would fetch a list of prices.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    printed = run([sys.executable, "-W", "ignore", "-c", program], into=folder, environment=environment)
    return json.loads(printed.splitlines()[-1])


def test_clients_of_cohere_rank_documents(api: ApiProcess, expected: list[tuple[int, float]], tmp_path: Path) -> None:
    answers = printed_by(COHERE_PROGRAM, api, tmp_path, group="cohere")
    assert [(index, text) for index, _, text in answers["first"]] == [
        (index, DOCUMENTS[index]) for index, _ in expected
    ]
    assert [score for _, score, _ in answers["first"]] == pytest.approx([score for _, score in expected], rel=1e-5)
    assert [index for index, _ in answers["second"]] == [index for index, _ in expected[:2]]
    assert answers["versions"] == ["1", "2"]
    assert "There is no model 'nothing'" in answers["refusal"]


def test_litellm_ranks_documents(api: ApiProcess, expected: list[tuple[int, float]], tmp_path: Path) -> None:
    results = printed_by(LITELLM_PROGRAM, api, tmp_path, group="litellm")
    assert [index for index, _ in results] == [index for index, _ in expected[:2]]


def test_documents_of_which_the_beginning_was_read_are_listed(post: Any) -> None:
    [warning] = post(documents=["the sea", "a quiet film " * 40])["meta"]["warnings"]
    assert re.fullmatch(r"documents\.1: \d+ of \d+ tokens were read", warning), warning
    assert post()["meta"] == {"api_version": {"version": "1"}}


def test_both_paths_answer_alike_and_count_tokens(post: Any, expected: list[tuple[int, float]]) -> None:
    first, second = post("/v1/rerank"), post("/v2/rerank")
    assert [result["index"] for result in first["results"]] == [index for index, _ in expected]
    assert first["results"] == second["results"]
    assert first["results"][0]["index"] == DOCUMENTS.index(QUERY)
    assert first["results"][0]["relevance_score"] == pytest.approx(1, abs=1e-5)
    assert first["usage"]["total_tokens"] == first["usage"]["prompt_tokens"] > 0
    assert first["model"] == "reviews@1"
    assert "document" not in first["results"][0]
    assert post(return_documents=True, top_n=1)["results"][0]["document"] == {"text": QUERY}
    assert len(post(top_n=50)["results"]) == len(DOCUMENTS)


REFUSED: Final[dict[str, tuple[dict[str, Any], int, str]]] = {
    "no documents": ({"documents": []}, 422, "documents"),
    "a document that is a number": ({"documents": ["a", 1]}, 422, "documents.1"),
    "a document of several fields": ({"documents": [{"title": "a", "text": "b"}]}, 422, "Join the fields"),
    "too many documents": ({"documents": ["a"] * 1024}, 422, "documents"),
    "no results": ({"top_n": 0}, 422, "top_n"),
    "other fields of documents": ({"rank_fields": ["title"]}, 422, "leave it out"),
    "few tokens of a document": ({"max_tokens_per_doc": 1}, 422, "must be at least"),
    "a misspelled field": ({"topn": 1}, 422, "top_n"),
    "a model of images": ({"model": "shades"}, 422, "embeds no texts"),
    "no such model": ({"model": "nothing"}, 404, "There is no model 'nothing'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_the_member_message(post: Any, case: str) -> None:
    changes, status, words = REFUSED[case]
    for path in ("/v1/rerank", "/v2/rerank"):
        assert words in post(path, status=status, **changes)["message"]
