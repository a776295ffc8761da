"""Requests as containers of SageMaker, Vertex, TF Serving and TorchServe get them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import requests
from starlette.testclient import TestClient

from tests.support.api_process import ApiProcess
from tests.support.factories import png, register, shades

pytestmark = [
    pytest.mark.process,
    pytest.mark.client("requests", "requests", "SageMaker, Vertex, TF Serving and TorchServe paths"),
]

TABLE: Final = "tabular_classification"
ROW: Final = {"length": 5.1, "width": 3.5, "site": "north"}
LIGHT: Final = {"b64": base64.b64encode(png(240)).decode()}
#: Seconds until an answer; a machine with other work may be slow.
PATIENT: Final = 30


@pytest.fixture(scope="module")
def send(api: ApiProcess) -> Callable[..., requests.Response]:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {api.key}"

    def send(path: str, *, method: str = "POST", **options: Any) -> requests.Response:
        return session.request(method, f"http://127.0.0.1:{api.port}{path}", timeout=PATIENT, **options)

    return send


def outputs_of(send: Callable[..., requests.Response], model: str, inputs: list[Any]) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = send(f"/predict/{model}", json={"inputs": inputs}).json()["outputs"]
    return outputs


INSTANCES: Final[dict[str, tuple[str, Any, dict[str, Any]]]] = {
    "an object": (TABLE, ROW, ROW),
    "a list in the order of the columns": (TABLE, list(ROW.values()), ROW),
    "a file in base64": ("shades", {"image": LIGHT}, {"image": LIGHT["b64"]}),
    "only a file in base64": ("shades", LIGHT, {"image": LIGHT["b64"]}),
    "pixels": ("shades", [[9, 200], [3, 4]], {"pixels": [[9, 200], [3, 4]]}),
    "a text": ("text_classification", "a quiet film", {"text": "a quiet film"}),
    "a row with one text": ("text_classification", ["a quiet film"], {"text": "a quiet film"}),
    "a history": ("recommendation", ["i1", "i2"], {"history": ["i1", "i2"]}),
}


@pytest.mark.parametrize("case", INSTANCES)
def test_an_instance_of_any_kind_is_predicted(send: Callable[..., requests.Response], case: str) -> None:
    model, instance, raw_input = INSTANCES[case]
    expected = outputs_of(send, model, [raw_input] * 2)
    for path in (f"/v1/models/{model}:predict", f"/v1/models/{model}/versions/1:predict"):
        answer = send(path, json={"instances": [instance] * 2, "signature_name": "serving_default"})
        assert answer.json() == {"predictions": expected}, answer.text


def test_rows_by_column_are_answered_by_column(send: Callable[..., requests.Response]) -> None:
    columns = {"length": [5.1, 2.0], "site": ["north", "south"]}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    expected = outputs_of(send, TABLE, rows)
    answer = send(f"/v1/models/{TABLE}:predict", json={"inputs": columns}).json()["outputs"]
    assert answer["label"] == [output["label"] for output in expected]
    assert send("/invocations", json={"inputs": columns}).json()["predictions"] == expected


def test_metadata_of_tf_serving_has_the_tensors_of_a_model(send: Callable[..., requests.Response]) -> None:
    for path in ("/v1/models/shades/metadata", "/v1/models/shades/versions/1/metadata"):
        metadata = send(path, method="GET").json()
        assert metadata["model_spec"] == {"name": "shades", "signature_name": "", "version": "1"}
        signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["inputs"]["pixels"]["dtype"] == "DT_UINT8"
        assert [axis["size"] for axis in signature["outputs"]["probabilities"]["tensor_shape"]["dim"]] == ["-1", "2"]
    assert "no model" in send("/v1/models/nobody/metadata", method="GET").json()["error"]


def test_parameters_of_vertex_are_those_of_predict(send: Callable[..., requests.Response]) -> None:
    body = {"instances": ["世"], "parameters": {"max_new_tokens": 3, "temperature": 0}}
    (output,) = send("/v1/models/stories:predict", json=body).json()["predictions"]
    assert (output["text"], output["new_tokens"]) == ("aé", 3)


@pytest.mark.parametrize(
    "table",
    [
        "length,width,site\n5.1,3.5,north\n5.1,3.5,north\n",
        "5.1,3.5,north\n5.1,3.5,north\n",
        "site,length,width\nnorth,5.1,3.5\nnorth,5.1,3.5",
    ],
)
def test_csv_has_a_header_or_the_order_of_the_columns(send: Callable[..., requests.Response], table: str) -> None:
    answer = send("/invocations", data=table.encode(), headers={"Content-Type": "text/csv; charset=utf-8"})
    assert answer.json() == {"predictions": outputs_of(send, TABLE, [ROW] * 2)}, answer.text


def test_an_empty_cell_is_a_missing_value(send: Callable[..., requests.Response]) -> None:
    answer = send("/invocations", data="length,site\n,north\n", headers={"Content-Type": "text/csv"})
    assert answer.json() == {"predictions": outputs_of(send, TABLE, [{"site": "north"}])}


def test_sagemaker_names_one_of_several_models_in_a_header(send: Callable[..., requests.Response]) -> None:
    headers = {"Content-Type": "image/png", "X-Amzn-SageMaker-Target-Model": "shades"}
    (output,) = send("/invocations", data=png(240), headers=headers).json()["predictions"]
    assert output["label"] == "light"


def test_torchserve_gets_a_file_a_form_or_json_and_answers_with_one_output(
    send: Callable[..., requests.Response],
) -> None:
    (expected,) = outputs_of(send, "shades", [{"image": LIGHT["b64"]}])
    sent: list[dict[str, Any]] = [
        {"data": png(240), "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"data": png(240), "method": "PUT"},
        {"files": {"data": ("light.png", png(240))}},
        {"json": {"image": LIGHT["b64"]}},
    ]
    for options in sent:
        assert send("/predictions/shades", **options).json() == expected, options
    assert send("/predictions/shades/1", json={"image": LIGHT["b64"]}).json() == expected
    assert send("/predictions/text_classification", data="a quiet film").json()["label"] in ("0", "1", "2")


REFUSED: Final[dict[str, tuple[str, dict[str, Any], int, str]]] = {
    "no form": (f"/v1/models/{TABLE}:predict", {"json": {}}, 422, "Send exactly one of instances, inputs"),
    "two forms": ("/invocations", {"json": {"instances": [ROW], "inputs": [ROW]}}, 422, "instances and inputs"),
    "a misspelled form": ("/invocations", {"json": {"instance": [ROW]}}, 422, "Did you mean 'instances'"),
    "a DataFrame for Vertex": (f"/v1/models/{TABLE}:predict", {"json": {"dataframe_records": [ROW]}}, 422, "instances"),
    "no rows": ("/invocations", {"json": {"instances": []}}, 422, "has 0 rows"),
    "too many rows": ("/invocations", {"json": {"instances": [ROW] * 1025}}, 422, "1,024"),
    "a wrong value": ("/invocations", {"json": {"instances": [ROW, {"length": "x"}]}}, 422, "instances.1.length"),
    "a row of another length": (
        "/invocations",
        {"json": {"dataframe_split": {"columns": ["length"], "data": [[1], [1, 2]]}}},
        422,
        "dataframe_split.data.1",
    ),
    "columns of other lengths": ("/invocations", {"json": {"inputs": {"length": [1], "width": []}}}, 422, "one length"),
    "a number alone": ("/invocations", {"json": {"instances": [1]}}, 422, "Send an object with length"),
    "infinity": (
        "/invocations",
        {"data": '{"instances": [{"length": Infinity}]}', "headers": {"Content-Type": "application/json"}},
        422,
        "too large",
    ),
    "an unclosed quote": (
        "/invocations",
        {"data": 'site\n"north', "headers": {"Content-Type": "text/csv"}},
        422,
        "CSV in UTF-8",
    ),
    "a short line": (
        "/invocations",
        {"data": "length,width\n1,2\n1\n", "headers": {"Content-Type": "text/csv"}},
        422,
        "csv.3",
    ),
    "an unknown type": ("/invocations", {"data": b"x", "headers": {"Content-Type": "application/x-npy"}}, 415, "JSON"),
    "an unknown parameter": (
        "/invocations",
        {"json": {"instances": [ROW], "params": {"retrun": "embedding"}}},
        422,
        "Did you mean 'return'",
    ),
    "an unknown model": ("/v1/models/shade:predict", {"json": {"instances": [ROW]}}, 404, "Did you mean 'shades'"),
    "two versions": ("/v1/models/shades@1/versions/2:predict", {"json": {"instances": [ROW]}}, 422, "version 2"),
    "a form without a file": ("/predictions/shades", {"files": {"a": (None, "b")}}, 422, "curl -F"),
    "no image": ("/predictions/shades", {"data": b"x"}, 422, "body.0.image"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_says_what_to_do_where_these_clients_look(send: Callable[..., requests.Response], case: str) -> None:
    path, options, status, words = REFUSED[case]
    answer = send(path, **options)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"], answer.json()["error"]


def test_a_basic_password_is_a_key_and_a_wrong_one_is_refused(api: ApiProcess) -> None:
    url = f"http://127.0.0.1:{api.port}/v2"
    assert requests.get(url, auth=("anyone", api.key), timeout=PATIENT).status_code == 200
    for password in (api.key + "x", ""):
        assert requests.get(url, auth=("anyone", password), timeout=PATIENT).status_code == 401
    for header in ("Basic", "Basic !", "Basic /w==", "Basic YQ=="):
        assert requests.get(url, headers={"Authorization": header}, timeout=PATIENT).status_code == 401


def test_invocations_reach_the_only_model_and_name_the_setting_where_there_are_several(
    client: TestClient, tmp_path: Path
) -> None:
    body = {"instances": [{"pixels": [[200]]}]}
    assert client.post("/invocations", json=body).json()["detail"] == "There is no model yet; a job makes one."
    register(shades(tmp_path / "one"), name="one")
    assert client.post("/invocations", json=body).json()["predictions"][0]["label"] == "light"
    register(shades(tmp_path / "two"), name="two")
    answer = client.post("/invocations", json=body)
    assert answer.status_code == 422
    assert "PLINTH_INVOCATIONS_MODEL to one of one, two" in json.dumps(answer.json(), ensure_ascii=False)
