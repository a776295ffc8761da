import base64
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from ml.data.files import images
from ml.errors import InputError, PackageError
from ml.inference import predictor
from ml.inference.predictor import Predictor
from ml.package.checksums import digest
from ml.package.package import ModelPackage
from plinth.installation import install_command
from tests.support.ml import image_models


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return image_models.package(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def classifier(package):
    return Predictor.load(package)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return Predictor.load(image_models.package(tmp_path_factory.mktemp("base"), task=None))


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    return Predictor.load(image_models.drawing_package(tmp_path_factory.mktemp("drawer")))


def inputs(count):
    return [{"pixels": row["image"][:, :, 0].tolist()} for row in image_models.rows(count)]


def expected_outputs(count):
    pixels = np.stack([row["image"] for row in image_models.rows(count)]).reshape(count, -1) / np.float32(255)
    logits = (pixels @ image_models.weights()).astype(np.float64)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def test_answers_are_what_the_graph_computes(classifier):
    answers = classifier.predict(inputs(5))

    assert classifier.engine == "onnxruntime"
    for answer, probabilities in zip(answers, expected_outputs(5), strict=True):
        assert list(answer["probabilities"].values()) == pytest.approx(list(probabilities), rel=1e-4)
        assert answer["label"] == image_models.CLASSES[probabilities.argmax()]
        assert answer["confidence"] == pytest.approx(probabilities.max(), rel=1e-4)
    json.dumps(answers)


@pytest.mark.parametrize("count", [1, predictor.BATCH_INPUTS, predictor.BATCH_INPUTS + 1, 150])
def test_many_inputs_get_as_many_answers_in_their_order(classifier, count):
    requests = inputs(count)

    answers = classifier.predict(requests)

    assert [answer["label"] for answer in answers] == [
        classifier.predict([raw_input])[0]["label"] for raw_input in requests
    ]


def test_no_inputs_get_no_outputs(classifier):
    assert classifier.predict([]) == []


def test_json_bytes_and_read_inputs_are_answered_alike(classifier):
    png = images.encode_png(image_models.rows(1)[0]["image"])
    answers = classifier.predict([{"image": base64.b64encode(png).decode()}, png, *inputs(1)])

    probabilities = [list(answer["probabilities"].values()) for answer in answers]
    assert probabilities[1] == pytest.approx(probabilities[0])
    assert probabilities[2] == pytest.approx(probabilities[0])


def test_an_image_of_another_size_and_mode_is_answered(classifier):
    large = np.zeros((100, 60, 3), dtype=np.uint8)

    assert classifier.predict([images.encode_png(large)])[0]["label"] in image_models.CLASSES


@pytest.mark.parametrize("place", [0, 2, 70])
def test_a_bad_input_is_named_by_its_place(classifier, place):
    requests = inputs(75)
    requests[place] = {"pixels": [[999]]}

    with pytest.raises(InputError, match="between 0 and 255") as caught:
        classifier.predict(requests)

    assert caught.value.index == place


def test_a_bad_image_is_named_by_its_place_too(classifier):
    with pytest.raises(InputError, match="not an image") as caught:
        classifier.predict([*inputs(1), b"junk"])

    assert caught.value.index == 1


def test_the_embedding_is_what_the_graph_gives(classifier):
    answers = classifier.predict(inputs(3), parameters={"return": "embedding"})

    for answer, row in zip(answers, image_models.rows(3), strict=True):
        assert answer.keys() == {"embedding"}
        assert answer["embedding"] == pytest.approx(row["image"].ravel() / 255, abs=1e-6)


def test_a_base_model_answers_its_embedding_unasked(base):
    plain, explicit = base.predict(inputs(2)), base.predict(inputs(2), parameters={"return": "embedding"})

    assert plain == explicit
    assert len(plain[0]["embedding"]) == 64


def test_an_unknown_return_lists_the_known(classifier):
    with pytest.raises(InputError, match="there is no output 'logits'; known: embedding"):
        classifier.predict(inputs(1), parameters={"return": "logits"})


def test_an_older_package_without_calibration_refuses_sets_of_labels(classifier, base):
    with pytest.raises(InputError, match=r"the model has no calibration") as refusal:
        classifier.predict(inputs(1), parameters={"conformal": 0.9})
    assert [finding.path for finding in refusal.value.findings] == ["parameters.conformal"]
    with pytest.raises(InputError, match=r"sets of labels are for what a classifier predicts"):
        base.predict(inputs(1), parameters={"conformal": 0.9})
    with pytest.raises(InputError, match=r"must be a number above 0 and below 1"):
        classifier.predict(inputs(1), parameters={"conformal": 2})


def test_an_unknown_parameter_is_an_error(classifier):
    with pytest.raises(
        InputError, match=r"parameters\.temperature: there is no .*; known: conformal, image, pixels, return"
    ):
        classifier.predict(inputs(1), parameters={"temperature": 1})


def test_a_model_that_reads_nothing_has_no_embedding(drawer):
    with pytest.raises(InputError, match="no embedding"):
        drawer.predict([{}], parameters={"return": "embedding"})


def test_a_seed_draws_the_same_image_each_time(drawer):
    first, second, other = drawer.predict([{"seed": 1, "label": "1"}, {"seed": 1, "label": "1"}, {"seed": 2}])

    assert first == second
    assert first["image"] != other["image"]
    assert images.decode(base64.b64decode(first["image"])).shape == (8, 8, 1)
    assert drawer.predict([{"seed": other["seed"], "label": other["label"]}]) == [other]


def test_a_request_can_set_a_field_for_all_inputs(drawer):
    answers = drawer.predict([{"seed": 1}, {"seed": 2, "label": "0"}], parameters={"label": "2"})

    assert [answer["label"] for answer in answers] == ["2", "0"]


@pytest.mark.parametrize("name", ["classifier", "base", "drawer"])
def test_the_example_of_the_signature_works_when_pasted(name, request):
    model = request.getfixturevalue(name)

    signature = json.loads(json.dumps(model.signature()))

    (answer,) = model.predict([signature["example"]["input"]])
    assert answer == signature["example"]["output"]
    # Further fields are answered only on request, such as `label_set`.
    assert (
        set(signature["output_schema"]["required"]) <= answer.keys() <= signature["output_schema"]["properties"].keys()
    )
    assert signature["example"]["input"].keys() <= signature["input_schema"]["properties"].keys()


def test_a_request_that_unpacks_beyond_the_limit_is_refused(classifier):
    white = images.encode_png(np.full((5000, 5000, 1), 255, dtype=np.uint8))

    with pytest.raises(InputError, match="over 256 MiB") as caught:
        classifier.predict([white] * 100)

    assert caught.value.index == predictor.MAX_REQUEST_BYTES // 25_000_000


@pytest.mark.parametrize("value", ["A" * 1_000_000, [[7] * 1_000] * 10])
def test_parameters_for_all_inputs_count_for_every_input(classifier, value):
    field = "image" if isinstance(value, str) else "pixels"

    with pytest.raises(InputError, match="repeated for 1,024 inputs, they exceed 256 MiB") as caught:
        classifier.predict([{}] * 1024, parameters={field: value})

    assert caught.value.findings[0].path == "parameters"


def test_large_inputs_are_run_in_smaller_batches(package):
    sizes = []

    def run(graph, batch):
        sizes.append(len(batch["image"]))
        return {"logits": np.zeros((len(batch["image"]), 3)), "embedding": np.zeros((len(batch["image"]), 1))}

    large = images.encode_png(np.zeros((4000, 5000, 1), dtype=np.uint8))
    Predictor(package, engine="counted", run=run).predict([large] * 6)

    assert sizes == [4, 2]


def test_a_graph_that_is_none_is_a_package_error(tmp_path):
    package = image_models.package(tmp_path)
    path = package.directory / "model.onnx"
    path.write_bytes(b"not a graph")
    manifest = json.loads((package.directory / "manifest.json").read_text())
    for file in manifest["files"]:
        if file["path"] == "model.onnx":
            file |= {"bytes": path.stat().st_size, "sha256": digest(path)}
    (package.directory / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(PackageError, match=r"model\.onnx is not a runnable graph"):
        Predictor.load(ModelPackage.open(package.directory))


def test_without_graph_and_torch_it_says_what_to_install(tmp_path, monkeypatch):
    package = image_models.package(tmp_path, graph=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(PackageError, match=r"no ONNX graph \(it was left out\), and torch.*is not installed") as caught:
        Predictor.load(package)

    assert install_command("server") in (caught.value.hint or "")


def test_predicting_needs_no_torch(package):
    """Checked in a new process, as other tests have imported torch into this one."""
    script = f"""
import sys
from pathlib import Path
from ml.package.package import ModelPackage
from ml.inference.predictor import Predictor
print(Predictor.load(ModelPackage.open(Path({str(package.directory)!r}))).predict([{{"pixels": [[0, 255], [255, 0]]}}]))
assert not {{"torch", "ml.learning", "sklearn", "onnx"}} & sys.modules.keys(), sorted(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "probabilities" in done.stdout
