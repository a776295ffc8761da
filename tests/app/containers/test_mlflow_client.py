"""MLflow's newest scoring client, unchanged, asks the model of `/invocations`."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any, Final

import numpy as np
import pytest

from tests.support.api_process import ApiProcess
from tests.support.client_packages import packages_of

pytestmark = [
    pytest.mark.process,
    pytest.mark.client("mlflow scoring client", "mlflow", "ping, invoke"),
]

ROWS: Final[list[dict[str, Any]]] = [{"length": 5.1, "width": 3.5, "site": "north"}, {"length": 2.0, "site": "south"}]


@pytest.fixture(scope="module")
def pandas() -> Any:
    sys.path.append(str(packages_of("mlflow")))
    with warnings.catch_warnings(action="ignore"):
        import mlflow.pyfunc.scoring_server.client  # noqa: F401  # warns of what it will change
        import pandas as pd
    return pd


@pytest.fixture
def client(pandas: Any, api: ApiProcess) -> Any:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    # It has no option for a key: as for any address, user and password may stand before the host.
    return ScoringServerClient(f"anyone:{api.key}@127.0.0.1", api.port)


def native(api: ApiProcess, inputs: list[Any]) -> list[dict[str, Any]]:
    body = json.dumps({"inputs": inputs}).encode()
    headers = {"Content-Type": "application/json"}
    status, _, answer = api.request("POST", "/predict/tabular_classification", headers=headers, body=body)
    assert status == 200, answer
    outputs: list[dict[str, Any]] = json.loads(answer)["outputs"]
    return outputs


def test_the_service_is_pinged_without_a_key(client: Any, api: ApiProcess) -> None:
    client.wait_server_ready(timeout=5)
    assert api.request("GET", "/ping", headers={"Authorization": ""})[0] == 200


def test_a_data_frame_is_predicted_and_its_missing_values_are_missing(
    client: Any, pandas: Any, api: ApiProcess
) -> None:
    response = client.invoke(pandas.DataFrame(ROWS))
    expected = native(api, ROWS)
    frame = response.get_predictions()
    assert frame["label"].tolist() == [output["label"] for output in expected]
    assert frame["confidence"].tolist() == pytest.approx([output["confidence"] for output in expected])


def test_dictionaries_of_arrays_and_records_are_predicted_alike(client: Any, pandas: Any, api: ApiProcess) -> None:
    columns = {"length": np.array([5.1, 2.0]), "width": np.array([3.5, 1.0])}
    expected = [output["label"] for output in native(api, pandas.DataFrame(columns).to_dict("records"))]
    for data in (columns, json.dumps({"dataframe_records": pandas.DataFrame(columns).to_dict("records")})):
        assert client.invoke(data).get_predictions()["label"].tolist() == expected


def test_params_are_the_parameters_of_predict(client: Any, pandas: Any) -> None:
    response = client.invoke(pandas.DataFrame(ROWS), params={"return": "embedding"})
    assert np.isfinite(np.array(response.get_predictions()["embedding"].tolist())).all()


def test_a_refusal_is_in_the_message_of_the_exception(client: Any, pandas: Any) -> None:
    with pytest.raises(Exception, match=r"422.*dataframe_split\.0\.lenght.*Did you mean 'length'"):
        client.invoke(pandas.DataFrame([{"lenght": 1.0}]))
