"""Content recommendation: items without interactions, new items of requests, portraits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.dataset import Dataset
from ml.data.rows import Rows
from ml.errors import InputError
from ml.evaluation.evaluate import evaluate_package
from ml.inference.predictor import Predictor
from ml.learning.nn.architectures import ARCHITECTURES
from ml.preprocessing.user_histories import UserHistories
from ml.tasks.recommendation import content_recommendation
from ml.tasks.recommendation.content_recommendation import ContentRecommendation, sample_new_items
from tests.support.ml import image_models, packages, samples
from tests.support.ml.digits import run, spec

TASK = "content_recommendation"
NEW = {"item": "x1", "title": "quiet film", "kind": "film", "price": 3}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    tiny = {
        name: {"name": name, "config": ARCHITECTURES[name].tiny().model_dump(mode="json")} for name in ARCHITECTURES
    }
    architectures = {"history": tiny["transformer"], "text": tiny["text_cnn"]}
    finetune_spec = spec("finetune", task=TASK, architectures=architectures)
    data = samples.path(samples.columns_read_by(ContentRecommendation))
    return run(data, tmp_path_factory.mktemp("content"), finetune_spec)


@pytest.fixture(scope="module")
def predictor(result: Any) -> Predictor:
    return Predictor.load(result.package)


def ids(output: dict[str, Any]) -> list[str]:
    return [item["item"] for item in output["items"]]


def test_both_graphs_are_served(predictor: Predictor) -> None:
    assert predictor.engine == "onnxruntime"
    assert set(predictor.manifest.graphs) == {"model", "text"}


def test_items_without_interactions_are_recommended(predictor: Predictor) -> None:
    (output,) = predictor.predict([{"history": ["i1", "i2"], "count": 1000}])

    assert {"n1", "n2"} <= set(ids(output))
    assert len(ids(output)) == 17 + 2 - 2


def test_recommended_items_have_their_titles(predictor: Predictor) -> None:
    (output,) = predictor.predict([{"history": ["i1", "i2"], "items": [NEW], "count": 1000}])

    titles = {item["item"]: item["title"] for item in output["items"]}
    assert titles["x1"] == "quiet film"
    assert all(titles.values())


def test_a_new_item_is_recommended_by_its_text(predictor: Predictor) -> None:
    (output,) = predictor.predict([{"history": ["i1"], "items": [NEW], "count": 1000}])
    (without,) = predictor.predict([{"history": ["i1"], "count": 1000}])

    assert set(ids(output)) == {*ids(without), "x1"}
    assert sum(item["score"] for item in output["items"]) <= 1 + 1e-6


def test_a_new_item_with_the_text_of_an_unseen_one_has_its_score(predictor: Predictor) -> None:
    table = samples.make_item_table()
    twin = {"item": "twin", **table.fields(table.row_by_id["n1"])}
    (output,) = predictor.predict([{"history": ["i1"], "items": [twin], "count": 1000}])

    scores = {item["item"]: item["score"] for item in output["items"]}
    assert scores["twin"] == pytest.approx(scores["n1"], rel=1e-4)


def test_a_new_item_in_the_history_changes_the_profile_and_is_not_recommended(predictor: Predictor) -> None:
    (read,) = predictor.predict([{"history": ["i1", "x1"], "items": [NEW], "count": 1000}])
    (ignored,) = predictor.predict([{"history": ["i1", "x1"], "count": 1000}])

    assert "x1" not in ids(read)
    assert (read["unknown"], ignored["unknown"]) == (0, 1)
    assert read["profile"] != pytest.approx(ignored["profile"], abs=1e-4)


def test_new_items_of_one_request_do_not_reach_another(predictor: Predictor) -> None:
    inputs = [{"history": ["i1"], "items": [NEW]}, {"history": ["i3", "i4", "i5"]}, {"history": ["x1"], "items": [NEW]}]
    for raw_input, batched in zip(inputs, predictor.predict(inputs), strict=True):
        (alone,) = predictor.predict([raw_input])
        assert ids(batched) == ids(alone)
        assert batched["profile"] == pytest.approx(alone["profile"], abs=1e-5)


def test_many_new_items_are_read_by_calls_of_bounded_memory(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [{**NEW, "item": f"x{number}"} for number in range(10)]
    requests = [{"history": ["i1", "x3"], "items": items, "count": 1000}] * 3
    expected = predictor.predict(requests)
    monkeypatch.setattr(content_recommendation, "MAX_TEXT_STEPS", 8)
    for output, other in zip(predictor.predict(requests), expected, strict=True):
        assert output["profile"] == pytest.approx(other["profile"], abs=1e-5)
        assert set(ids(output)) == set(ids(other))


def test_histories_are_attacked_and_the_table_of_items_is_not(result: Any) -> None:
    dataset = Dataset.open(samples.path(samples.columns_read_by(ContentRecommendation)))
    report = evaluate_package(result.package, dataset, split="test", robustness=True)
    assert report["robustness"]["attack"]["norms"] == {"history": "l2"}


def test_it_is_trained_against_an_adversary(tmp_path: Any) -> None:
    data = samples.path(samples.columns_read_by(ContentRecommendation))
    report = run(data, tmp_path, spec("finetune", task="content_recommendation", adversary={"name": "pgd"})).report
    assert report["metrics"]["hit_rate_at_10"] >= 0


def test_a_known_item_needs_no_text_and_keeps_its_vector(predictor: Predictor) -> None:
    (plain,) = predictor.predict([{"history": ["i1"]}])
    (described,) = predictor.predict([{"history": ["i1"], "items": [{**NEW, "item": "i5"}]}])
    assert described == plain


def test_the_embedding_is_the_profile_with_new_items_too(predictor: Predictor) -> None:
    raw_input = {"history": ["i1", "x1"], "items": [NEW]}
    (output,) = predictor.predict([raw_input])
    (embedded,) = predictor.predict([raw_input], parameters={"return": "embedding"})
    assert embedded["embedding"] == pytest.approx(output["profile"], abs=1e-6)


def test_a_portrait_has_categories_words_and_ranges(predictor: Predictor) -> None:
    (output,) = predictor.predict([{"history": ["i1", "i3", "i2", "x1", "what"], "items": [NEW], "portrait": True}])

    portrait = output["portrait"]
    assert portrait["items"] == 4
    assert {trait["name"]: trait["fraction"] for trait in portrait["categories"]["kind"]} == {
        "film": 0.75,
        "book": 0.25,
    }
    assert portrait["numbers"]["price"]["median"] == 3.0
    assert all(0 < trait["fraction"] <= 1 for trait in portrait["words"])
    assert predictor.predict([{"history": ["i1"]}])[0]["portrait"] is None


@pytest.mark.parametrize(
    ("item", "message"),
    [({"item": "x1"}, "has no text"), ({"item": "x1", "title": " "}, "has no text"), ({"title": "quiet"}, "required")],
)
def test_a_new_item_without_a_text_or_an_id_is_refused(item: Any, message: str, predictor: Predictor) -> None:
    with pytest.raises(InputError, match=message) as error:
        predictor.predict([{"history": ["i1"], "items": [item]}])
    assert (error.value.findings[0].path or "").startswith("items.0")


def test_a_dataset_without_a_table_of_items_does_not_fit() -> None:
    summary = image_models.summary(columns={"history": "items"}, splits={"train": 9, "validation": 3})
    (reason,) = ContentRecommendation.check_dataset(summary)
    assert "items.csv" in reason


def test_the_report_has_figures_for_seen_and_unseen_targets(result: Any) -> None:
    report = result.report
    assert report["warm"]["rows"] + report["cold"]["rows"] + report["targets_unknown"] == report["rows"]
    assert report["warm"]["metrics"].keys() == ContentRecommendation.metrics.keys()
    assert report["cold"] == {"rows": 0}


def test_events_are_weighed_by_rarity_and_the_report_says_so(result: Any) -> None:
    section = result.report["interaction_weights"]
    weights = {name: event["weight"] for name, event in section["events"].items()}
    assert weights.keys() == {"view", "purchase", "refund"}
    assert (section["source"], weights["view"], weights["refund"]) == ("rarity", 1.0, 0.0)
    assert 1 < weights["purchase"] <= 10
    assert sum(event["rows"] for event in section["events"].values()) == result.report["rows"]


@pytest.mark.parametrize("row", [0, 45, 59])
def test_a_user_of_any_split_is_answered_by_id(predictor: Predictor, result: Any, row: int) -> None:
    """Rows 45 and 59 are of validation and test."""
    history = samples.VALUES["items"](60)[row]
    by_user, by_history = predictor.predict(
        [{"user": f"u{row}", "portrait": True}, {"history": history, "portrait": True}]
    )
    assert by_user == by_history
    (continued,) = predictor.predict([{"user": f"u{row}", "history": ["i16"]}])
    (whole,) = predictor.predict([{"history": [*history, "i16"]}])
    assert continued == whole
    assert result.report["stored_users"] == 60


def test_an_unknown_user_and_no_history_are_refused_with_what_to_send(predictor: Predictor) -> None:
    for raw_input, message in (({"user": "zoe"}, "no user 'zoe'"), ({"count": 3}, '"history"')):
        with pytest.raises(InputError, match=message):
            predictor.predict([raw_input])


def test_histories_are_left_out_of_the_package_on_request(tmp_path: Path) -> None:
    task = packages.make_toy_plan(TASK).task
    assert isinstance(task, ContentRecommendation)
    dataset = samples.dataset(samples.columns_read_by(ContentRecommendation))
    splits = {split: dataset.rows(split) for split in ("train", "validation", "test")}
    for keep, names in ((True, ["histories.bin", "titles.json"]), (False, ["titles.json"])):
        task.config = task.config.model_copy(update={"keep_histories": keep})
        task.store_rows(splits)
        (tmp_path / str(keep)).mkdir()
        task.save_files(tmp_path / str(keep))
        assert sorted(file.name for file in (tmp_path / str(keep)).iterdir()) == names
    with pytest.raises(InputError, match="no histories of users"):
        task.read({"user": "u1"}, parameters={})


def test_a_history_of_items_that_the_model_lacks_is_damage(tmp_path: Path) -> None:
    task = packages.make_toy_plan(TASK).task
    assert task is not None
    UserHistories.of({"u1": np.array([9_999], dtype=np.int32)}).save(tmp_path / "histories.bin")
    with pytest.raises(ValueError, match="items that the model lacks"):
        task.load_files({"histories.bin": tmp_path / "histories.bin"})


def test_targets_that_training_has_not_seen_are_evaluated_apart() -> None:
    task = packages.make_toy_plan(TASK).task
    assert isinstance(task, ContentRecommendation)
    columns = task.encode(Rows({"history": [["i1", "n1"], ["i1", "i2"], ["i2", "n2"]]}))
    train = task.encode(Dataset.open(samples.path(ContentRecommendation.columns)).rows("train"))
    outputs: dict[str, Any] = {name: np.array([0, 50, 20]) for name in ("rank", "sampled_rank", "new_rank")}
    outputs["top"] = np.zeros((3, 5), dtype=np.int64)

    extra = task.evaluate(outputs, columns, train=train).extra

    assert (extra["warm"]["rows"], extra["cold"]["rows"], extra["cold"]["items"]) == (1, 2, 2)
    assert extra["cold"]["metrics"]["hit_rate_at_10_of_100"] == 0.5
    assert extra["cold"]["baseline"].keys() == {"hit_rate_at_10_of_100", "hit_rate_at_10_of_100_new"}


def test_rare_items_have_no_vector_of_their_own() -> None:
    task = packages.make_toy_plan(TASK).task
    assert task is not None
    signal, mask = task.item_texts(samples.dataset(ContentRecommendation.columns).rows("train"))
    assert len(signal) == len(mask) == task.slot_encoders["history"].shape()["vocabulary"]
    assert not mask[:2].any()
    assert mask[2:, 0].all()
    assert task.head_config()["own"] <= 2 + 17


def test_sampled_new_items_are_deterministic_and_exclude_the_target() -> None:
    unseen = np.arange(500, 900)
    drawn = sample_new_items(unseen, 600)
    assert drawn.tolist() == sample_new_items(unseen, 600).tolist()
    assert len(set(drawn.tolist())) == 100
    assert 600 not in drawn
