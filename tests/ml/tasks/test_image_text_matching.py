"""Which text belongs to which picture."""

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
    made = run(
        samples.path(ImageTextMatching.columns),
        folder,
        spec("finetune", task="image_text_matching", architectures=TINY),
    )
    return Predictor.load(made.package)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    made = run(
        samples.path(ImageTextMatching.columns),
        folder,
        spec("pretrain", objective="image_text_contrast", architectures=TINY),
    )
    return made.package.directory


def test_captions_are_put_into_order_and_their_probabilities_add_up(predictor: Predictor) -> None:
    texts = ["a quiet film", "a loud song", "an old river"]
    (answer,) = predictor.predict([{"image": PNG, "candidates": texts}])

    scores = answer["scores"]
    assert sorted(each["text"] for each in scores) == sorted(texts)
    assert [each["similarity"] for each in scores] == sorted((each["similarity"] for each in scores), reverse=True)
    assert sum(each["probability"] for each in scores) == pytest.approx(1)
    assert np.linalg.norm(answer["embedding"]) == pytest.approx(1, abs=1e-5)


def test_similarity_is_the_cosine_of_what_is_answered_for_each_alone(predictor: Predictor) -> None:
    picture, text, both = predictor.predict(
        [{"image": PNG}, {"text": "a loud song"}, {"image": PNG, "text": "a loud song"}]
    )

    assert picture["scores"] is None
    cosine = float(np.dot(picture["embedding"], text["embedding"]))
    assert both["scores"][0]["similarity"] == pytest.approx(cosine, abs=1e-5)
    assert both["embedding"] == pytest.approx(picture["embedding"], abs=1e-5)


def test_a_row_is_answered_alike_alone_and_among_others(predictor: Predictor) -> None:
    asked = [
        {"image": PNG, "candidates": ["a loud song", "a quiet film", "old"]},
        {"text": "new", "candidates": ["bright"]},
        {"text": "a quiet moving film about a river"},
    ]
    for given, among in zip(asked, predictor.predict(asked), strict=True):
        (alone,) = predictor.predict([given])
        assert among["embedding"] == pytest.approx(alone["embedding"], abs=1e-5)
        assert [each["text"] for each in among["scores"] or ()] == [each["text"] for each in alone["scores"] or ()]


def test_candidates_are_read_once_each_and_not_too_many_at_a_time(predictor: Predictor) -> None:
    task, read = predictor._adapter, []
    assert isinstance(task, ImageTextMatching)

    def run(graph: str, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph == "text":
            read.append(batch["text"].shape)
        return predictor.run(graph, batch)

    captions = [f"a loud song {number}" for number in range(900)]
    rows = [task.read({"text": "a quiet film", "candidates": captions}, parameters={})] * 20
    batch = task.collate(task.encode(Rows({name: [row[name] for row in rows] for name in rows[0]})))
    similarity = task.answer(run, batch)["similarity"]

    assert sum(length for length, _ in read[1:]) == len(captions)
    assert max(length for length, _ in read) <= 512
    (alone,) = predictor.predict([{"text": "a quiet film", "candidates": captions[700:701]}])
    np.testing.assert_allclose(similarity[:, 700], alone["scores"][0]["similarity"], atol=1e-5)


def test_a_bare_body_is_a_picture_or_else_a_text(predictor: Predictor) -> None:
    named = predictor.predict([{"image": PNG}, {"text": "a loud song"}])
    bare = predictor.predict([PNG, b"a loud song"])
    assert bare == named
    embedded = predictor.predict([PNG], parameters={"return": "embedding"})
    assert embedded[0]["embedding"] == pytest.approx(bare[0]["embedding"], abs=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give an image, a text or both"),
        ({"candidates": ["a"]}, "give an image, a text or both"),
        ({"image": PNG, "pixels": [[0]]}, "either image or pixels"),
        ({"text": "a", "candidates": []}, "candidates"),
        ({"text": "a", "candidates": "a"}, "candidates"),
    ],
)
def test_what_cannot_be_compared_is_told(given: dict[str, object], message: str, predictor: Predictor) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict([given])


def test_rows_that_are_judged_are_answered_with_both_embeddings(predictor: Predictor) -> None:
    task = predictor._adapter
    assert isinstance(task, ImageTextMatching)
    batch = task.collate(task.encode(samples.dataset(ImageTextMatching.columns).rows("test")[:3]))

    answer = task.answer(predictor._run, batch)

    assert task.collect(answer, batch, lambda: answer).keys() == {"image_embedding", "text_embedding"}


def test_ranks_count_every_text_of_a_picture_as_right() -> None:
    # Three pictures, of which the first has two texts; its second text is the nearest.
    pictures = np.array([[1.0, 0], [1, 0], [0, 1], [-1, 0]])
    texts = np.array([[0.0, 1], [0.9, 0.1], [0.8, 0.6], [-1, 0]])
    ranks, chances = _search(pictures, texts, np.array([0, 0, 1, 2]), np.array([0, 1, 2, 3]))

    # Text 0 lies nearer to picture 1 than its own, text 2.
    assert ranks.tolist() == [0, 1, 0]
    assert chances[1] == pytest.approx([2 / 4, 1 / 4, 1 / 4])
    assert chances[5] == pytest.approx([1, 1, 1])


def test_of_equal_likeness_half_stands_before() -> None:
    same = np.ones((5, 2))
    ranks, _ = _search(same, same, np.arange(5), np.arange(5))
    assert ranks.tolist() == [2] * 5


def test_both_towers_start_from_bases_of_their_own(base: Path, tmp_path: Path) -> None:
    wanted = spec("finetune", task="image_text_matching", start_from={"image": "one"}, architectures={"text": "rnn"})
    report = run(samples.path(ImageTextMatching.columns), tmp_path / "one", wanted, start_from={"image": base}).report
    assert report is not None
    assert report["transfer"]["loaded"]
    assert all(name.startswith("backbones.image.") for name in report["transfer"]["loaded"])

    whole = spec("finetune", task="image_text_matching", start_from="base")
    report = run(samples.path(ImageTextMatching.columns), tmp_path / "whole", whole, start_from=base).report
    assert report is not None
    assert report["transfer"]["new"] == []
    assert "head.log_scale" in report["transfer"]["loaded"]


def test_a_base_of_two_backbones_embeds_either(base: Path) -> None:
    from ml.package.package import ModelPackage

    predictor = Predictor.load(ModelPackage.open(base))
    assert set(predictor.manifest.graphs) == {"image", "text"}

    picture, text, bare, said = predictor.predict([{"image": PNG}, {"text": "a loud song"}, PNG, b"a loud song"])

    assert picture == bare
    assert text == said
    assert len(picture["embedding"]) == 8
    assert "anyOf" in predictor.signature()["input_schema"]
    with pytest.raises(InputError, match="image"):
        predictor.predict([{"picture": PNG}])


def test_what_was_shown_can_be_asked() -> None:
    row = {"image": images.decode(PNG), "text": "a seven"}
    shown, _ = ImageTextMatching.show(row)
    assert ImageTextMatchingInput.of(shown.model_dump(mode="json"), parameters={}).text == "a seven"
