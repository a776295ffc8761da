"""Requests of boto3's client of SageMaker's runtime, unchanged but for its address and key."""

from __future__ import annotations

import json
from typing import Any, Final

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.api_process import ApiProcess

pytestmark = [pytest.mark.process, pytest.mark.client("boto3 (sagemaker-runtime)", "boto3", "invoke_endpoint")]

ROW: Final = {"length": 5.1, "width": 3.5, "site": "north"}
TABLE: Final = "tabular_classification"


def connect(api: ApiProcess, key: str) -> Any:
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{api.port}",
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key="any",
        config=Config(retries={"max_attempts": 0}),
    )


@pytest.fixture(scope="module")
def runtime(api: ApiProcess) -> Any:
    return connect(api, api.key)


def invoke(runtime: Any, model: str, body: str | bytes, content_type: str, **options: Any) -> Any:
    answer = runtime.invoke_endpoint(EndpointName=model, Body=body, ContentType=content_type, **options)
    assert answer["ContentType"] == "application/json"
    return json.loads(answer["Body"].read())["predictions"]


def test_an_endpoint_is_a_model_and_reads_what_invocations_reads(api: ApiProcess, runtime: Any) -> None:
    text = {"Content-Type": "text/plain"}
    _, _, expected = api.request("POST", "/predict/text_classification", headers=text, body=b"a quiet film")
    outputs = json.loads(expected)["outputs"]
    assert invoke(runtime, "text_classification", "a quiet film", "text/plain") == outputs
    for inputs in ("a quiet film", ["a quiet film"]):
        body = json.dumps({"inputs": inputs})
        assert invoke(runtime, "text_classification@1", body, "application/json") == outputs
    by_csv = invoke(runtime, TABLE, "5.1,3.5,north", "text/csv")
    assert by_csv == invoke(runtime, TABLE, json.dumps({"instances": [ROW]}), "application/json")
    assert invoke(runtime, "any-endpoint", "5.1,3.5,north", "text/csv", TargetModel=TABLE) == by_csv


def test_a_refusal_is_the_message_of_the_exception(api: ApiProcess, runtime: Any) -> None:
    with pytest.raises(ClientError, match=r"\(not_found\).*There is no model 'nothing'"):
        invoke(runtime, "nothing", "1", "text/csv")
    with pytest.raises(ClientError, match=r"\(invalid_request\).*has 0 rows"):
        invoke(runtime, TABLE, '{"instances": []}', "application/json")
    with pytest.raises(ClientError, match=r"\(no_such_path\).*Use invoke_endpoint"):
        runtime.invoke_endpoint_with_response_stream(EndpointName="stories", Body=b"{}")
    with pytest.raises(ClientError, match=r"\(key_unknown\).*unknown, expired or revoked"):
        invoke(connect(api, "nobody"), TABLE, "1", "text/csv")
