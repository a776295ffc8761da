"""The newest clients of Triton and KServe, unchanged, ask a real service."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from ml.package.manifest import MANIFEST
from ml.tasks import TASKS
from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.client_packages import packages_of, run
from tests.support.factories import SIDE, painter, png, register, shades, writer
from tests.support.ml import packages

pytestmark = [
    pytest.mark.process,
    pytest.mark.client(
        "tritonclient (HTTP, sync and asyncio)", "tritonclient", "health, metadata, infer (JSON, binary), repository"
    ),
]

MODELS: Final = ("text_classification", "tabular_classification", "recommendation", "image_text_matching")
TEXTS: Final = ["a quiet film", "a loud song", "世"]
HEADER_LENGTH: Final = "Inference-Header-Content-Length"
KSERVE_CALLS: Final = Path(__file__).with_name("kserve_calls.py")


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api, folder = ApiProcess(new_home()), tmp_path_factory.mktemp("packages")
    with homes.use_home(api.home):
        register(shades(folder / "shades"), name="shades")
        register(shades(folder / "second", bias=0.1), name="shades")
        register(painter(folder / "painter"), name="painter")
        register(writer(folder / "stories"), name="stories")
        for task in MODELS:
            register(packages.make_untrained(task, folder / task), name=task)
    with api:
        yield api


@pytest.fixture(scope="module")
def triton() -> Any:
    sys.path.append(str(packages_of("triton")))
    import tritonclient.http

    return tritonclient.http


@pytest.fixture
def client(triton: Any, api: ApiProcess) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{api.port}") as client:
        client.register_plugin(with_key(api.key))
        yield client


def with_key(key: str) -> Any:
    from tritonclient.http import InferenceServerClientPlugin

    class Key(InferenceServerClientPlugin):  # type: ignore[misc]  # its package has no types
        def __call__(self, request: Any) -> None:
            request.headers["Authorization"] = f"Bearer {key}"

    return Key()


def tensor(triton: Any, name: str, array: Any, datatype: str | None = None, *, binary: bool = True) -> Any:
    from tritonclient.utils import np_to_triton_dtype

    array = np.asarray(array)
    made = triton.InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def texts(values: Any) -> np.ndarray:
    """An array of Python strings, as the client sends `BYTES`."""
    return np.array(values, dtype=object)


def native(api: ApiProcess, model: str, inputs: list[Any], **parameters: Any) -> list[dict[str, Any]]:
    """The outputs of `/predict`, which every answer here must agree with."""
    body = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    status, _, answer = api.request(
        "POST", f"/predict/{model}", headers={"Content-Type": "application/json"}, body=body
    )
    assert status == 200, answer
    outputs: list[dict[str, Any]] = json.loads(answer)["outputs"]
    return outputs


def decode(array: np.ndarray) -> list[str]:
    return [value if isinstance(value, str) else value.decode() for value in array.tolist()]


def pixels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 40], ids=["a shorter body", "a longer body"])
def test_headers_that_the_client_left_after_a_binary_request_do_no_harm(
    triton: Any, api: ApiProcess, client: Any, count: int
) -> None:
    headers: dict[str, str] = {}
    for binary in (True, False):
        inputs = [tensor(triton, "pixels", pixels(2 if binary else count), binary=binary)]
        answer = client.infer("shades", inputs, headers=headers)
        assert answer.as_numpy("label").shape == (2 if binary else count,)
    assert "Inference-Header-Content-Length" in headers, "the client copies headers now: the test is of no use"
    status, _, body = api.request(
        "POST", "/v2/models/shades/infer", headers={"Inference-Header-Content-Length": "5"}, body=b'{"inputs": '
    )
    assert status == 422, body


def test_further_calls_of_triton_are_refused_with_a_hint(triton: Any, client: Any) -> None:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException, match="send tensors in the request"):
        client.get_system_shared_memory_status()
    with pytest.raises(InferenceServerException, match="OTEL_EXPORTER"):
        client.get_trace_settings()


def test_health_needs_no_key_and_metadata_does(triton: Any, api: ApiProcess, client: Any) -> None:
    from tritonclient.utils import InferenceServerException

    with triton.InferenceServerClient(f"127.0.0.1:{api.port}") as stranger:
        assert stranger.is_server_live()
        assert stranger.is_server_ready()
        assert not stranger.is_model_ready("shades")
        with pytest.raises(InferenceServerException, match="Authorization: Bearer") as caught:
            stranger.get_server_metadata()
        assert caught.value.status() == "401"
    metadata = client.get_server_metadata()
    assert metadata["name"] == "plinth"
    assert {"binary_tensor_data", "model_repository"} <= set(metadata["extensions"])


def test_metadata_has_the_tensors_and_classes_of_a_model(client: Any) -> None:
    metadata = client.get_model_metadata("shades")
    assert (metadata["name"], metadata["versions"], metadata["platform"]) == ("shades", ["2"], "onnxruntime")
    shapes = {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in metadata["inputs"]}
    assert shapes == {"image": ("BYTES", [-1]), "pixels": ("UINT8", [-1, -1, -1])}
    outputs = {tensor["name"]: tensor for tensor in metadata["outputs"]}
    assert outputs["probabilities"]["shape"] == [-1, 2]
    assert outputs["probabilities"]["labels"] == ["dark", "light"]
    assert client.get_model_metadata("shades", "1")["versions"] == ["1"]
    columns = {tensor["name"]: tensor["datatype"] for tensor in client.get_model_metadata(MODELS[1])["inputs"]}
    assert columns["length"] == "FP64"
    assert columns["site"] == "BYTES"


def test_configuration_and_statistics_have_the_shapes_of_triton(triton: Any, client: Any) -> None:
    config = client.get_model_config("shades")
    assert {tensor["name"]: (tensor["data_type"], tensor["dims"]) for tensor in config["input"]} == {
        "image": ("TYPE_STRING", []),
        "pixels": ("TYPE_UINT8", [-1, -1]),
    }
    assert config["max_batch_size"] == 1024
    before = client.get_inference_statistics("shades")["model_stats"][0]
    client.infer("shades", [tensor(triton, "pixels", pixels(5))])
    (after,) = client.get_inference_statistics("shades", "2")["model_stats"]
    assert after["inference_count"] - before["inference_count"] == 5
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_stats"]["success"]["count"] > before["inference_stats"]["success"]["count"]
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert "shades" in {model["name"] for model in client.get_inference_statistics()["model_stats"]}


@pytest.mark.parametrize("binary", [True, False])
def test_pixels_are_classified_as_predict_classifies_them(
    triton: Any, api: ApiProcess, client: Any, binary: bool
) -> None:
    images = pixels(5)
    requested = [triton.InferRequestedOutput(name, binary) for name in ("label", "probabilities", "confidence")]
    result = client.infer(
        "shades", [tensor(triton, "pixels", images, binary=binary)], outputs=requested, request_id="mine"
    )
    expected = native(api, "shades", [{"pixels": image.tolist()} for image in images])
    assert decode(result.as_numpy("label")) == [output["label"] for output in expected]
    probabilities = [[output["probabilities"][label] for label in ("dark", "light")] for output in expected]
    # The graph is the same; only the batch and float32 may differ by the last bit.
    np.testing.assert_allclose(result.as_numpy("probabilities"), probabilities, rtol=1e-5)
    np.testing.assert_allclose(result.as_numpy("confidence"), [output["confidence"] for output in expected], rtol=1e-5)
    answer = result.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("mine", "shades", "2")


def test_a_version_is_chosen_by_the_path_and_all_outputs_come_by_default(
    triton: Any, api: ApiProcess, client: Any
) -> None:
    images = pixels(70)  # more rows than one batch
    result = client.infer("shades", [tensor(triton, "pixels", images)], model_version="1")
    assert [output["name"] for output in result.get_response()["outputs"]] == ["label", "confidence", "probabilities"]
    expected = native(api, "shades@1", [{"pixels": image.tolist()} for image in images])
    assert decode(result.as_numpy("label")) == [output["label"] for output in expected]


@pytest.mark.parametrize("binary", [True, False])
def test_image_files_are_bytes_or_base64(triton: Any, client: Any, binary: bool) -> None:
    files = [png(10), png(240)]
    values = files if binary else [base64.b64encode(file).decode() for file in files]
    result = client.infer("shades", [tensor(triton, "image", texts(values), "BYTES", binary=binary)])
    assert decode(result.as_numpy("label")) == ["dark", "light"]


def test_the_classes_of_an_output_are_named_with_the_classification_extension(triton: Any, client: Any) -> None:
    requested = [triton.InferRequestedOutput("probabilities", class_count=1)]
    result = client.infer("shades", [tensor(triton, "pixels", pixels(2) // 8)], outputs=requested)
    (first,), _ = result.as_numpy("probabilities").tolist()
    probability, index, label = first.decode().split(":")
    assert (index, label) == ("0", "dark")
    assert 0.5 < float(probability) <= 1


@pytest.mark.parametrize("binary", [True, False])
def test_texts_of_any_script_are_classified(triton: Any, api: ApiProcess, client: Any, binary: bool) -> None:
    result = client.infer(MODELS[0], [tensor(triton, "text", texts(TEXTS), "BYTES", binary=binary)])
    expected = native(api, MODELS[0], [{"text": text} for text in TEXTS])
    assert decode(result.as_numpy("label")) == [output["label"] for output in expected]


def test_a_parameter_of_predict_is_a_parameter_here(triton: Any, api: ApiProcess, client: Any) -> None:
    sent = [tensor(triton, "text", texts(TEXTS), "BYTES")]
    result = client.infer(MODELS[0], sent, parameters={"return": "embedding"}, timeout=30_000_000)
    expected = native(api, MODELS[0], [{"text": text} for text in TEXTS], **{"return": "embedding"})
    np.testing.assert_allclose(
        result.as_numpy("embedding"), [output["embedding"] for output in expected], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64", "INT32"])
def test_several_inputs_of_any_datatype_are_the_columns_of_a_row(
    triton: Any, api: ApiProcess, client: Any, datatype: str
) -> None:
    import ml_dtypes

    types = {"FP16": np.float16, "BF16": ml_dtypes.bfloat16, "FP32": np.float32, "FP64": float, "INT32": np.int32}
    # Each value is exact in every datatype.
    lengths = np.array([5, 2, 7]).astype(types[datatype])
    sent = [
        tensor(triton, "length", lengths, datatype),
        tensor(triton, "site", texts(["north", "south", "north"]), "BYTES", binary=False),
    ]
    result = client.infer(MODELS[1], sent)
    inputs = [{"length": length, "site": site} for length, site in ((5, "north"), (2, "south"), (7, "north"))]
    expected = native(api, MODELS[1], inputs)
    assert decode(result.as_numpy("label")) == [output["label"] for output in expected]
    np.testing.assert_allclose(result.as_numpy("confidence"), [output["confidence"] for output in expected], rtol=1e-5)


def test_nan_in_a_column_is_a_missing_value(triton: Any, api: ApiProcess, client: Any) -> None:
    result = client.infer(
        MODELS[1], [tensor(triton, "length", np.array([np.nan, 5.0])), tensor(triton, "width", np.array([1.0, 2.0]))]
    )
    expected = native(api, MODELS[1], [{"length": None, "width": 1}, {"length": 5, "width": 2}])
    np.testing.assert_allclose(result.as_numpy("confidence"), [output["confidence"] for output in expected], rtol=1e-5)


def test_generated_text_images_and_lists_come_as_bytes(triton: Any, api: ApiProcess, client: Any) -> None:
    prompts = [tensor(triton, "prompt", texts(["世"]), "BYTES"), tensor(triton, "max_new_tokens", np.array([12]))]
    written = client.infer("stories", prompts, parameters={"temperature": 0})
    assert decode(written.as_numpy("text")) == ["aé世aé世"]
    assert written.as_numpy("new_tokens").tolist() == [12]
    painted = client.infer("painter", [tensor(triton, "seed", np.array([3, 4]))]).as_numpy("image")
    expected = native(api, "painter", [{"seed": 3}, {"seed": 4}])
    assert painted.tolist() == [base64.b64decode(output["image"]) for output in expected]
    history = {"history": ["i1", "i2"], "count": 2}
    for sent in (texts([json.dumps(history["history"])]), texts([history["history"]])):
        inputs = [tensor(triton, "history", sent, "BYTES"), tensor(triton, "count", np.array([2]))]
        items = client.infer(MODELS[2], inputs).as_numpy("items")
        (requested,) = native(api, MODELS[2], [history])
        assert [item["item"] for item in json.loads(items[0])] == [item["item"] for item in requested["items"]]


def test_models_are_listed_loaded_and_unloaded(triton: Any, client: Any) -> None:
    client.load_model("shades")
    states = {entry["name"]: entry["state"] for entry in client.get_model_repository_index()}
    assert states.keys() == {"shades", "painter", "stories", *MODELS}
    assert states["shades"] == "READY"
    client.unload_model("shades")
    index = {entry["name"]: entry for entry in client.get_model_repository_index()}
    assert (index["shades"]["state"], index["shades"]["version"]) == ("UNAVAILABLE", "2")
    assert "first request" in index["shades"]["reason"]
    # A model that was unloaded answers again.
    assert client.infer("shades", [tensor(triton, "pixels", pixels(1))]).as_numpy("label").shape == (1,)
    assert client.is_model_ready("shades", "1")
    assert not client.is_model_ready("shades", "9")
    assert not client.is_model_ready("nothing")


def test_the_asynchronous_client_gets_the_same(triton: Any, api: ApiProcess) -> None:
    import tritonclient.http.aio as asynchronous

    async def classify() -> tuple[bool, Any, Any]:
        async with asynchronous.InferenceServerClient(f"127.0.0.1:{api.port}") as client:
            client.register_plugin(with_key(api.key))
            live = await client.is_server_live()
            index = await client.get_model_repository_index()
            results = await asyncio.gather(
                *(client.infer("shades", [tensor(triton, "pixels", pixels(2, seed))]) for seed in range(3))
            )
            return live, index, [decode(result.as_numpy("label")) for result in results]

    live, index, labels = asyncio.run(classify())
    assert live
    assert len(index) == 3 + len(MODELS)
    expected = [native(api, "shades", [{"pixels": image.tolist()} for image in pixels(2, seed)]) for seed in range(3)]
    assert labels == [[output["label"] for output in outputs] for outputs in expected]


@pytest.fixture(scope="module")
def kserve_answers(api: ApiProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answers to the calls of KServe's client, which needs a process of its own."""
    folder = tmp_path_factory.mktemp("kserve")
    command = [sys.executable, "-W", "ignore", KSERVE_CALLS, f"http://127.0.0.1:{api.port}", api.key]
    printed = run(command, into=folder, environment={"PYTHONPATH": os.fspath(packages_of("kserve"))})
    answers: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answers


@pytest.mark.client("kserve (InferenceRESTClient)", "kserve", "health, readiness, infer (JSON, binary), v1 predict")
def test_kserves_client_gets_what_predict_answers(api: ApiProcess, kserve_answers: dict[str, Any]) -> None:
    names = ("live", "ready", "model is ready", "nothing is ready", "older is ready")
    health = {name: kserve_answers[name] for name in names}
    expected_health = dict.fromkeys(names, True) | {"nothing is ready": False}
    assert health == expected_health
    images = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    expected = native(api, "shades", [{"pixels": image.tolist()} for image in images])
    for answer in kserve_answers["pixels"]:
        assert (answer["model"], answer["id"]) == ("shades", "mine")
        assert answer["outputs"]["label"] == [output["label"] for output in expected]
        # JSON has the digits of a float32, which may differ from those of its float64.
        assert answer["outputs"]["confidence"] == pytest.approx([output["confidence"] for output in expected], rel=1e-5)
    outputs = kserve_answers["outputs"]["outputs"]
    assert list(outputs) == ["probabilities", "label"]
    assert outputs["probabilities"] == [
        pytest.approx([output["probabilities"][label] for label in ("dark", "light")], rel=1e-5) for output in expected
    ]
    labels = [output["label"] for output in native(api, MODELS[0], [{"text": "a quiet film"}, {"text": "世"}])]
    assert kserve_answers["texts"]["outputs"]["label"] == labels
    assert kserve_answers["predictions"]["predictions"][0]["label"] == labels[0]
    rows = [{"length": 5, "site": "a quiet film"}, {"length": 2, "site": "世"}]
    assert kserve_answers["columns"]["outputs"]["label"] == [output["label"] for output in native(api, MODELS[1], rows)]


def test_kserves_client_shows_why_it_was_refused(kserve_answers: dict[str, Any]) -> None:
    assert "Did you mean 'pixels'" in kserve_answers["refusal"]
    assert "422" in kserve_answers["refusal"]


REFUSED: Final[dict[str, tuple[Callable[[Any, Any], object], str]]] = {
    "an unknown input": (lambda c, t: c.infer("shades", [tensor(t, "pixel", pixels(1))]), "Did you mean 'pixels'"),
    "an unknown output": (
        lambda c, t: c.infer("shades", [tensor(t, "pixels", pixels(1))], outputs=[t.InferRequestedOutput("lable")]),
        "Did you mean 'label'",
    ),
    "an unknown parameter": (
        lambda c, t: c.infer("shades", [tensor(t, "pixels", pixels(1))], parameters={"retrun": "embedding"}),
        "Did you mean 'return'",
    ),
    "no image": (
        lambda c, t: c.infer("shades", [tensor(t, "image", texts([png(1), b"x"]), "BYTES")]),
        "row 1 of image",
    ),
    "rows of other counts": (
        lambda c, t: c.infer(MODELS[1], [tensor(t, "length", np.ones(2)), tensor(t, "width", np.ones(3))]),
        "inputs.1.shape: has 3 rows",
    ),
    "too many rows": (lambda c, t: c.infer("shades", [tensor(t, "pixels", np.zeros((1025, 1, 1), np.uint8))]), "1,024"),
    "infinity": (lambda c, t: c.infer(MODELS[1], [tensor(t, "length", np.array([np.inf]))]), "infinity"),
    "NaN in JSON": (
        lambda c, t: c.infer(MODELS[1], [tensor(t, "length", np.array([np.nan], np.float32), binary=False)]),
        "JSON has no NaN",
    ),
    "text that is no UTF-8": (
        lambda c, t: c.infer(MODELS[0], [tensor(t, "text", texts([b"a\xff"]), "BYTES")]),
        "element 0 that is not UTF-8 at byte 1",
    ),
    "a blank text": (
        lambda c, t: c.infer(MODELS[0], [tensor(t, "text", texts(["a", " "]), "BYTES")]),
        "row 1 of text: must contain more than whitespace",
    ),
    "a sequence": (
        lambda c, t: c.infer("shades", [tensor(t, "pixels", pixels(1))], sequence_id=7, sequence_start=True),
        "keep no state",
    ),
    "another configuration": (lambda c, t: c.load_model("shades", config="{}"), "as it was registered"),
    "classes of a label": (
        lambda c, t: c.infer(
            "shades", [tensor(t, "pixels", pixels(1))], outputs=[t.InferRequestedOutput("label", class_count=2)]
        ),
        "label has no classes",
    ),
    "an unknown model": (lambda c, t: c.infer("shade", [tensor(t, "pixels", pixels(1))]), "Did you mean 'shades'"),
    "an unknown version": (lambda c, t: c.get_model_metadata("shades", "9"), "shades@2"),
    "shared memory": (lambda c, t: c.get_system_shared_memory_status(), "There is no path"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_the_message_of_the_exception(triton: Any, client: Any, case: str) -> None:
    from tritonclient.utils import InferenceServerException

    call, words = REFUSED[case]
    with pytest.raises(InferenceServerException) as caught:
        call(client, triton)
    assert words in caught.value.message()
    assert caught.value.status() in ("404", "422")


ONE: Final = {"name": "length", "datatype": "FP32", "shape": [1]}
BODIES: Final[dict[str, tuple[bytes, str | None, str]]] = {
    "no JSON": (b"{", None, "not valid JSON"),
    "nothing": (b"", None, "empty"),
    "a list": (b"[]", None, "object"),
    "no inputs": (b"{}", None, "inputs"),
    "an unknown datatype": (json.dumps({"inputs": [ONE | {"datatype": "FP8", "data": [1]}]}).encode(), None, "FP16"),
    "a shape of nothing": (json.dumps({"inputs": [ONE | {"shape": [0, 10**18]}]}).encode(), None, "inputs.0.shape.0"),
    "too few elements": (json.dumps({"inputs": [ONE | {"shape": [2], "data": [1]}]}).encode(), None, "has 1 elements"),
    "text for numbers": (json.dumps({"inputs": [ONE | {"data": ["1"]}]}).encode(), None, "numbers or booleans"),
    "a fraction of an integer": (
        json.dumps({"inputs": [ONE | {"datatype": "INT8", "data": [1.5]}]}).encode(),
        None,
        "INT8 cannot hold exactly",
    ),
    "a number beyond its type": (
        json.dumps({"inputs": [ONE | {"datatype": "INT8", "data": [300]}]}).encode(),
        None,
        "INT8",
    ),
    "BF16 in JSON": (json.dumps({"inputs": [ONE | {"datatype": "BF16", "data": [1]}]}).encode(), None, "FP32"),
    "no data": (json.dumps({"inputs": [ONE]}).encode(), None, "neither data nor"),
    "an input twice": (json.dumps({"inputs": [ONE | {"data": [1]}] * 2}).encode(), None, "sent before"),
    "shared memory": (
        json.dumps({"inputs": [ONE | {"parameters": {"shared_memory_region": "a"}}]}).encode(),
        None,
        "shared memory",
    ),
    "binary data without the header": (
        json.dumps({"inputs": [ONE | {"parameters": {"binary_data_size": 4}}]}).encode(),
        None,
        HEADER_LENGTH,
    ),
    "a header beyond the body": (b"{x", "3", "the body has 2 bytes"),
    "a header that is no number": (b"{}", "-1", HEADER_LENGTH),
    "a timeout that is no number": (
        json.dumps({"inputs": [ONE | {"data": [1]}], "parameters": {"timeout": "1"}}).encode(),
        None,
        "microseconds",
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_wrong_is_refused_with_its_place(api: ApiProcess, case: str) -> None:
    body, header_length, words = BODIES[case]
    headers = {} if header_length is None else {HEADER_LENGTH: header_length}
    status, _, answer = api.request("POST", f"/v2/models/{MODELS[1]}/infer", headers=headers, body=body)
    problem = json.loads(answer)
    assert status == 422, problem
    assert words in problem["error"]
    assert problem["error"] == problem["detail"]


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "words"),
    [
        ("FP32", [2], b"\0" * 4, "its shape requires 2 x 4 = 8"),
        ("BYTES", [1], b"\5\0\0\0ab", "ends within its element 0"),
        ("BYTES", [1], b"\5\0", "ends within its element 0"),
        ("BYTES", [2], b"\1\0\0\0a", "has 1 elements"),
        ("FP32", [1], b"\0" * 6, "2 bytes follow the last input"),
    ],
)
def test_binary_data_that_does_not_fit_its_shape_is_refused(
    api: ApiProcess, datatype: str, shape: list[int], data: bytes, words: str
) -> None:
    size = 4 if words.startswith("2 bytes") else len(data)
    sent = {"name": "length", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [sent]}).encode()
    headers = {HEADER_LENGTH: str(len(head))}
    status, _, answer = api.request("POST", f"/v2/models/{MODELS[1]}/infer", headers=headers, body=head + data)
    assert status == 422
    assert words in json.loads(answer)["error"]


def test_a_damaged_model_is_not_ready(api: ApiProcess, client: Any, tmp_path: Path) -> None:
    with homes.use_home(api.home):
        register(writer(tmp_path / "damaged"), name="damaged")
        # Ids begin with the time: the last one is the package that was just registered.
        (max((api.home / "blobs" / "models").iterdir()) / MANIFEST).write_text("{}")
    assert not client.is_model_ready("damaged")


def test_every_task_has_a_tensor_for_each_field(api: ApiProcess, tmp_path: Path) -> None:
    from app.predict.signature import signature_of
    from ml.inference.predictor import Predictor

    for task, kind in TASKS.items():
        if kind.input_type.model_fields.keys() - {"return"}:
            predictor = Predictor.load(packages.make_untrained(task, tmp_path / task))
            assert signature_of(predictor).inputs.keys() == kind.input_type.model_fields.keys(), task
