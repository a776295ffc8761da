"""Recommendation: targets, ranks, the popularity baseline, and requests."""

from pathlib import Path

import numpy as np
import pytest

from ml.data.rows import Rows
from ml.encoders.items import FIRST_ITEM, PADDING, ItemsEncoder
from ml.errors import InputError
from ml.inference.predictor import Predictor
from ml.learning.nn.architectures import ARCHITECTURES
from ml.metrics.ranking import NOT_RANKED
from ml.tasks.recommendation.base import RecommendationConfig, sample_items
from ml.tasks.recommendation.recommendation import Recommendation
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

HISTORIES = [["a", "b", "c", "d"], ["a", "b", "e"], ["a", "b"], ["a"]]
A, B, C, D, E = range(FIRST_ITEM, FIRST_ITEM + 5)


def task(*, repeat: bool = False, **encoder: int) -> Recommendation:
    items_encoder = ItemsEncoder.learn(HISTORIES, encoder)
    return Recommendation(RecommendationConfig(repeat=repeat), {"history": items_encoder}, {})


def rows(*histories: list[str]) -> Rows:
    return Rows({"history": list(histories)})


def constant_run(logits: np.ndarray):
    return lambda graph, batch: {"logits": np.tile(logits, (len(batch["history"]), 1))}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    config = ARCHITECTURES["transformer"].tiny().model_dump(mode="json")
    finetune_spec = spec(
        "finetune", task="recommendation", architectures={"history": {"name": "transformer", "config": config}}
    )
    data = samples.path(Recommendation.columns)
    return Predictor.load(run(data, tmp_path_factory.mktemp("recommendation"), finetune_spec).package)


def test_evaluation_counts_the_last_item_and_training_every_item() -> None:
    subject = task()
    columns = subject.encode(rows(*HISTORIES[:2]))

    evaluated = subject.collate(columns)
    trained = subject.collate(subject.augment(columns, np.random.default_rng(0)))

    assert evaluated["history"].tolist() == [[1, A, B, C, D], [1, A, B, E, PADDING]]
    assert evaluated["history_weight"].tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]
    assert trained["history"].tolist() == evaluated["history"].tolist()
    assert trained["history_weight"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]


def test_training_windows_come_from_all_of_a_long_history() -> None:
    subject = task(length=3)
    columns = subject.encode(rows(HISTORIES[0]))
    windows = set()
    for seed in range(40):
        arrays = subject.collate(subject.augment(columns, np.random.default_rng(seed)))
        windows.add(tuple(arrays["history"][0].tolist()))
    assert windows == {(1, A, B), (1, B, C), (1, C, D)}


def test_a_request_reads_no_position_that_training_does_not_read() -> None:
    subject = task(length=4)
    requested = subject.collate(subject.encode(Rows({"history": [["a", "b", "c", "d"]], "count": [1]})))
    evaluated = subject.collate(subject.encode(rows(["a", "b", "c", "d", "e"])))

    assert requested["history"].tolist() == [[1, C, D]]
    assert evaluated["history"].tolist() == [[1, C, D, E]]


def test_the_target_is_hidden_in_evaluation() -> None:
    subject = task()
    arrays = subject.collate(subject.encode(rows(["a", "b", "c"], ["a", "unheard of"])))
    batches = []
    subject.predict(lambda graph, batch: batches.append(batch) or {}, arrays)

    assert batches[0]["history"].tolist() == [[1, A, B, PADDING], [1, A, PADDING, PADDING]]
    assert batches[0]["history_mask"].sum(axis=1).tolist() == [3, 2]


def test_items_of_the_history_are_not_ranked_and_an_unknown_target_is_a_miss() -> None:
    subject = task()
    logits = np.array([9, 9, 5, 4, 3, 2, 1], dtype=np.float32)
    arrays = subject.collate(subject.encode(rows(["a", "b", "d"], ["b", "a"], ["a", "unheard of"], ["a", "b", "a"])))

    ranks = subject.collect({}, arrays, lambda: subject.predict(constant_run(logits), arrays))

    # d ranks after c alone; a is first; an unknown target, and one that must not be repeated, have no rank.
    assert ranks["rank"].tolist() == [1, 0, NOT_RANKED, NOT_RANKED]
    assert ranks["sampled_rank"].tolist()[:2] == [1, 0]
    repeating = task(repeat=True)
    ranks = repeating.collect({}, arrays, lambda: repeating.predict(constant_run(logits), arrays))
    assert ranks["rank"].tolist()[3] == 0


def test_the_baseline_ranks_items_by_popularity() -> None:
    subject = task()
    train = subject.encode(rows(*HISTORIES))
    columns = subject.encode(rows(["a", "e"], ["c", "b"], ["a", "unheard of"]))
    ranks = np.array([0, 0, NOT_RANKED])
    outputs = {"rank": ranks, "sampled_rank": ranks, "top": np.array([[2, 3, 0, 0, 0]] * 3)}

    evaluation = subject.evaluate(outputs, columns, train=train)

    # By frequency: a 4 times, b 3, then c, d and e. Without a, e is the fourth; without c, b is the second.
    assert evaluation.metrics["mean_reciprocal_rank"] == pytest.approx(2 / 3)
    example = evaluation.extra["recommendations"][0]
    assert [item["item"] for item in example["recommended"]] == list(subject.items_encoder.items[:2])
    assert (example["index"], example["rank"], evaluation.extra["recommendations"][-1]["rank"]) == (0, 1, None)
    assert evaluation.baseline["mean_reciprocal_rank"] == pytest.approx((1 / 4 + 1 / 2) / 3)
    assert evaluation.baseline["hit_rate_at_10"] == pytest.approx(2 / 3)
    assert evaluation.extra["targets_unknown"] == 1


def test_a_rank_beyond_ten_is_noted_with_the_value_that_others_give() -> None:
    subject = Recommendation(
        RecommendationConfig(), {"history": ItemsEncoder.learn([[f"i{n}" for n in range(20)]], {})}, {}
    )
    columns = subject.encode(rows(["i1", "i2"], ["i2", "i1"]))
    ranks = np.array([0, 10])
    outputs = {"rank": ranks, "sampled_rank": ranks, "top": np.zeros((2, 5), dtype=np.int64)}

    evaluation = subject.evaluate(outputs, columns, train=None)

    (note,) = evaluation.notes
    assert "among all 20 items" in note
    assert note.endswith("is 0.5")
    assert subject.evaluate({name: ranks[:1] for name, ranks in outputs.items()}, columns, train=None).notes == []


def test_few_items_are_noted() -> None:
    subject = task()
    columns = subject.encode(rows(["a", "e"]))
    outputs = {"rank": np.array([0]), "sampled_rank": np.array([0]), "top": np.array([[2, 3, 4, 0, 0]])}
    (note,) = subject.evaluate(outputs, columns, train=None).notes
    assert "there are only 5 items" in note


def test_sampled_items_are_deterministic_and_exclude_history_and_target() -> None:
    history = np.array([5, 9])
    first, second = sample_items(history, 7, 500), sample_items(history, 7, 500)

    assert first.tolist() == second.tolist()
    assert len(set(first.tolist())) == 100
    assert first.min() >= FIRST_ITEM
    assert not {5, 7, 9} & set(first.tolist())
    assert sample_items(history, 8, 500).tolist() != first.tolist()


def test_recommendations_are_new_sorted_and_of_the_requested_number(predictor: Predictor) -> None:
    (output,) = predictor.predict([{"history": ["i1", "i2", "i3"], "count": 5}])

    items = [item["item"] for item in output["items"]]
    assert len(set(items)) == 5
    assert not {"i1", "i2", "i3"} & set(items)
    scores = [item["score"] for item in output["items"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) <= 1
    assert output["unknown"] == 0


def test_a_count_above_the_number_of_items_returns_all(predictor: Predictor) -> None:
    (output,) = predictor.predict([{"history": ["i1"], "count": 1000}])

    assert len(output["items"]) == 16


def test_a_new_user_and_unknown_items_get_recommendations(predictor: Predictor) -> None:
    new, unknown = predictor.predict([{"history": []}, {"history": ["never", "seen"]}])

    assert len(new["items"]) == 10
    assert new["items"] == unknown["items"]
    assert (new["unknown"], unknown["unknown"]) == (0, 2)


def test_a_profile_is_the_embedding_and_the_same_alone_and_in_a_batch(predictor: Predictor) -> None:
    inputs = [{"history": ["i1", "i2"]}, {"history": ["i5", "i6", "i7", "i8", "i9", "i10"]}, {"history": []}]
    for raw_input, batched in zip(inputs, predictor.predict(inputs), strict=True):
        (alone,) = predictor.predict([raw_input])
        assert batched["profile"] == pytest.approx(alone["profile"], abs=1e-6)
        (embedded,) = predictor.predict([raw_input], parameters={"return": "embedding"})
        assert embedded["embedding"] == pytest.approx(alone["profile"], abs=1e-6)


def test_ids_may_be_numbers(predictor: Predictor) -> None:
    assert predictor.predict([{"history": [1, 2.0]}])[0]["unknown"] == 2


@pytest.mark.parametrize(
    "raw_input", [{}, {"history": "i1"}, {"history": [None]}, {"history": [""]}, {"history": [], "count": 0}]
)
def test_an_invalid_history_raises_an_input_error(raw_input: dict[str, object], predictor: Predictor) -> None:
    with pytest.raises(InputError, match=r"history|count"):
        predictor.predict([raw_input])


def test_a_run_reports_the_popularity_baseline_of_every_metric(tmp_path: Path) -> None:
    tiny = {"name": "rnn", "config": ARCHITECTURES["rnn"].tiny().model_dump(mode="json")}
    finetune_spec = spec("finetune", task="recommendation", architecture=tiny)
    report = run(samples.path(Recommendation.columns), tmp_path, finetune_spec).report

    assert report is not None
    assert report["metrics"].keys() == report["baseline"].keys() == Recommendation.metrics.keys()
    assert report["intervals"].keys() == {"hit_rate_at_10", "hit_rate_at_10_of_100"}
