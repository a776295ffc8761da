"""Image-text matching: embeddings, candidates, ranks and transfer."""

from pathlib import Path

import numpy as np
import pytest

from ml.data.files import images
from ml.data.rows import Rows
from ml.errors import InputError
from ml.inference.predictor import Predictor
from ml.learning.nn.architectures import ARCHITECTURES
from ml.tasks.image_text_matching import ImageTextMatching, ImageTextMatchingInput, _search
from ml.wire import ImageInput
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

PNG = ImageInput.make_example().image
TINY = {
    slot: {"name": name, "config": ARCHITECTURES[name].tiny().model_dump(mode="json")}
    for slot, name in (("image", "cnn"), ("text", "rnn"))
}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("matching")
    result = run(
        samples.path(ImageTextMatching.columns),
        folder,
        spec("finetune", task="image_text_matching", architectures=TINY),
    )
    return Predictor.load(result.package)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    result = run(
        samples.path(ImageTextMatching.columns),
        folder,
        spec("pretrain", objective="image_text_contrast", architectures=TINY),
    )
    return result.package.directory


def test_candidates_are_ranked_and_their_probabilities_add_up_to_1(predictor: Predictor) -> None:
    texts = ["a quiet film", "a loud song", "an old river"]
    (output,) = predictor.predict([{"image": PNG, "candidates": texts}])

    scores = output["scores"]
    assert sorted(score["text"] for score in scores) == sorted(texts)
    assert [score["similarity"] for score in scores] == sorted((score["similarity"] for score in scores), reverse=True)
    assert sum(score["probability"] for score in scores) == pytest.approx(1)
    assert np.linalg.norm(output["embedding"]) == pytest.approx(1, abs=1e-5)


def test_similarity_is_the_cosine_of_the_separate_embeddings(predictor: Predictor) -> None:
    image, text, both = predictor.predict(
        [{"image": PNG}, {"text": "a loud song"}, {"image": PNG, "text": "a loud song"}]
    )

    assert image["scores"] is None
    cosine = float(np.dot(image["embedding"], text["embedding"]))
    assert both["scores"][0]["similarity"] == pytest.approx(cosine, abs=1e-5)
    assert both["embedding"] == pytest.approx(image["embedding"], abs=1e-5)


def test_a_row_gets_the_same_output_alone_and_in_a_batch(predictor: Predictor) -> None:
    inputs = [
        {"image": PNG, "candidates": ["a loud song", "a quiet film", "old"]},
        {"text": "new", "candidates": ["bright"]},
        {"text": "a quiet moving film about a river"},
    ]
    for raw_input, batched in zip(inputs, predictor.predict(inputs), strict=True):
        (alone,) = predictor.predict([raw_input])
        assert batched["embedding"] == pytest.approx(alone["embedding"], abs=1e-5)
        assert [score["text"] for score in batched["scores"] or ()] == [
            score["text"] for score in alone["scores"] or ()
        ]


def test_distinct_candidates_are_read_once_with_a_limit_per_call(predictor: Predictor) -> None:
    task, shapes = predictor._adapter, []
    assert isinstance(task, ImageTextMatching)

    def run(graph: str, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph == "text":
            shapes.append(batch["text"].shape)
        return predictor.run(graph, batch)

    captions = [f"a loud song {number}" for number in range(900)]
    rows = [task.read({"text": "a quiet film", "candidates": captions}, parameters={})] * 20
    batch = task.collate(task.encode(Rows({name: [row[name] for row in rows] for name in rows[0]})))
    similarity = task.predict(run, batch)["similarity"]

    assert sum(length for length, _ in shapes[1:]) == len(captions)
    assert max(length for length, _ in shapes) <= 512
    (alone,) = predictor.predict([{"text": "a quiet film", "candidates": captions[700:701]}])
    np.testing.assert_allclose(similarity[:, 700], alone["scores"][0]["similarity"], atol=1e-5)


def test_a_raw_body_is_an_image_or_else_a_text(predictor: Predictor) -> None:
    outputs = predictor.predict([{"image": PNG}, {"text": "a loud song"}])
    raw_outputs = predictor.predict([PNG, b"a loud song"])
    assert raw_outputs == outputs
    embedded = predictor.predict([PNG], parameters={"return": "embedding"})
    assert embedded[0]["embedding"] == pytest.approx(raw_outputs[0]["embedding"], abs=1e-5)


@pytest.mark.parametrize(
    ("raw_input", "message"),
    [
        ({}, "give an image, a text or both"),
        ({"candidates": ["a"]}, "give an image, a text or both"),
        ({"image": PNG, "pixels": [[0]]}, "either image or pixels"),
        ({"text": "a", "candidates": []}, "candidates"),
        ({"text": "a", "candidates": "a"}, "candidates"),
    ],
)
def test_an_invalid_input_raises_an_input_error(
    raw_input: dict[str, object], message: str, predictor: Predictor
) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict([raw_input])


def test_rows_without_candidates_get_both_embeddings(predictor: Predictor) -> None:
    task = predictor._adapter
    assert isinstance(task, ImageTextMatching)
    batch = task.collate(task.encode(samples.dataset(ImageTextMatching.columns).rows("test")[:3]))

    arrays = task.predict(predictor._run, batch)

    assert task.collect(arrays, batch, lambda: arrays).keys() == {"image_embedding", "text_embedding"}


def test_every_text_of_an_image_is_a_match() -> None:
    # Three images, of which the first has two texts; its second text is the nearest.
    image_embeddings = np.array([[1.0, 0], [1, 0], [0, 1], [-1, 0]])
    text_embeddings = np.array([[0.0, 1], [0.9, 0.1], [0.8, 0.6], [-1, 0]])
    ranks, hit_rates = _search(image_embeddings, text_embeddings, np.array([0, 0, 1, 2]), np.array([0, 1, 2, 3]))

    # Text 0 is nearer to image 1 than its own, text 2.
    assert ranks.tolist() == [0, 1, 0]
    assert hit_rates[1] == pytest.approx([2 / 4, 1 / 4, 1 / 4])
    assert hit_rates[5] == pytest.approx([1, 1, 1])


def test_half_of_the_equal_candidates_rank_higher() -> None:
    equal = np.ones((5, 2))
    ranks, _ = _search(equal, equal, np.arange(5), np.arange(5))
    assert ranks.tolist() == [2] * 5


def test_the_backbones_can_start_from_different_base_models(base: Path, tmp_path: Path) -> None:
    one_base = spec("finetune", task="image_text_matching", start_from={"image": "one"}, architectures={"text": "rnn"})
    report = run(samples.path(ImageTextMatching.columns), tmp_path / "one", one_base, start_from={"image": base}).report
    assert report is not None
    assert report["transfer"]["loaded"]
    assert all(name.startswith("backbones.image.") for name in report["transfer"]["loaded"])

    whole = spec("finetune", task="image_text_matching", start_from="base")
    report = run(samples.path(ImageTextMatching.columns), tmp_path / "whole", whole, start_from=base).report
    assert report is not None
    assert report["transfer"]["new"] == []
    assert "head.log_scale" in report["transfer"]["loaded"]


def test_a_base_model_of_two_backbones_embeds_both_inputs(base: Path) -> None:
    from ml.package.package import ModelPackage

    predictor = Predictor.load(ModelPackage.open(base))
    assert set(predictor.manifest.graphs) == {"image", "text"}

    image, text, raw_image, raw_text = predictor.predict([{"image": PNG}, {"text": "a loud song"}, PNG, b"a loud song"])

    assert image == raw_image
    assert text == raw_text
    assert len(image["embedding"]) == 8
    assert "anyOf" in predictor.signature()["input_schema"]
    with pytest.raises(InputError, match="image"):
        predictor.predict([{"picture": PNG}])


def test_a_row_is_converted_to_an_input_that_can_be_read() -> None:
    row = {"image": images.decode(PNG), "text": "a seven"}
    row_input, _ = ImageTextMatching.to_input_and_target(row)
    assert ImageTextMatchingInput.of(row_input.model_dump(mode="json"), parameters={}).text == "a seven"
