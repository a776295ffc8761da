"""What somebody will want next."""

from pathlib import Path

import numpy as np
import pytest

from ml.data.rows import Rows
from ml.encoders.items import FIRST_ITEM, PADDING, ItemsEncoder
from ml.errors import InputError
from ml.inference.predictor import Predictor
from ml.learning.nn.architectures import ARCHITECTURES
from ml.metrics.ranking import NOT_RANKED
from ml.tasks.recommendation import Recommendation, RecommendationConfig, sampled
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

HISTORIES = [["a", "b", "c", "d"], ["a", "b", "e"], ["a", "b"], ["a"]]
A, B, C, D, E = range(FIRST_ITEM, FIRST_ITEM + 5)


def task(*, repeat: bool = False, **encoder: int) -> Recommendation:
    learned = ItemsEncoder.learn(HISTORIES, encoder)
    return Recommendation(RecommendationConfig(repeat=repeat), {"history": learned}, {})


def rows(*histories: list[str]) -> Rows:
    return Rows({"history": list(histories)})


def run_alike(logits: np.ndarray):
    return lambda graph, batch: {"logits": np.tile(logits, (len(batch["history"]), 1))}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    config = ARCHITECTURES["transformer"].tiny().model_dump(mode="json")
    wanted = spec(
        "finetune", task="recommendation", architectures={"history": {"name": "transformer", "config": config}}
    )
    data = samples.path(Recommendation.columns)
    return Predictor.load(run(data, tmp_path_factory.mktemp("recommendation"), wanted).package)


def test_only_the_last_item_is_judged_and_every_item_taught() -> None:
    asked = task()
    columns = asked.encode(rows(*HISTORIES[:2]))

    judged = asked.collate(columns)
    taught = asked.collate(asked.augment(columns, np.random.default_rng(0)))

    assert judged["history"].tolist() == [[1, A, B, C, D], [1, A, B, E, PADDING]]
    assert judged["history_weight"].tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]
    assert taught["history"].tolist() == judged["history"].tolist()
    assert taught["history_weight"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]


def test_stretches_are_taken_from_all_over_a_long_history() -> None:
    asked = task(length=3)
    columns = asked.encode(rows(HISTORIES[0]))
    seen = set()
    for seed in range(40):
        arrays = asked.collate(asked.augment(columns, np.random.default_rng(seed)))
        seen.add(tuple(arrays["history"][0].tolist()))
    assert seen == {(1, A, B), (1, B, C), (1, C, D)}


def test_no_place_is_asked_that_no_training_row_could_read_at() -> None:
    asked = task(length=4)
    given = asked.collate(asked.encode(Rows({"history": [["a", "b", "c", "d"]], "count": [1]})))
    judged = asked.collate(asked.encode(rows(["a", "b", "c", "d", "e"])))

    assert given["history"].tolist() == [[1, C, D]]
    assert judged["history"].tolist() == [[1, C, D, E]]


def test_the_future_is_hidden_from_who_is_judged_by_it() -> None:
    asked = task()
    arrays = asked.collate(asked.encode(rows(["a", "b", "c"], ["a", "unheard of"])))
    read = []
    asked.answer(lambda graph, batch: read.append(batch) or {}, arrays)

    assert read[0]["history"].tolist() == [[1, A, B, PADDING], [1, A, PADDING, PADDING]]
    assert read[0]["history_mask"].sum(axis=1).tolist() == [3, 2]


def test_ranks_pass_over_what_was_had_and_an_unknown_item_is_missed() -> None:
    asked = task()
    logits = np.array([9, 9, 5, 4, 3, 2, 1], dtype=np.float32)
    arrays = asked.collate(asked.encode(rows(["a", "b", "d"], ["b", "a"], ["a", "unheard of"], ["a", "b", "a"])))

    found = asked.collect({}, arrays, lambda: asked.answer(run_alike(logits), arrays))

    # d comes after c alone; a is first; what nobody knows, and what must not be repeated, is nowhere.
    assert found["rank"].tolist() == [1, 0, NOT_RANKED, NOT_RANKED]
    assert found["sampled_rank"].tolist()[:2] == [1, 0]
    again = task(repeat=True)
    assert again.collect({}, arrays, lambda: again.answer(run_alike(logits), arrays))["rank"].tolist()[3] == 0


def test_popularity_is_judged_alike() -> None:
    asked = task()
    train = asked.encode(rows(*HISTORIES))
    columns = asked.encode(rows(["a", "e"], ["c", "b"], ["a", "unheard of"]))
    outputs = {"rank": np.array([0, 0, NOT_RANKED]), "sampled_rank": np.array([0, 0, NOT_RANKED])}

    found = asked.evaluate(outputs, columns, train=train)

    # Most had: a 4 times, b 3, then c, d and e. Without a, e is the fourth; without c, b is the second.
    assert found.metrics["mean_reciprocal_rank"] == pytest.approx(2 / 3)
    assert found.baseline["mean_reciprocal_rank"] == pytest.approx((1 / 4 + 1 / 2) / 3)
    assert found.baseline["hit_rate_at_10"] == pytest.approx(2 / 3)
    assert found.extra["targets_unknown"] == 1


def test_the_sampled_are_always_the_same_and_neither_had_nor_wanted() -> None:
    seen = np.array([5, 9])
    first, again = sampled(seen, 7, 500), sampled(seen, 7, 500)

    assert first.tolist() == again.tolist()
    assert len(set(first.tolist())) == 100
    assert first.min() >= FIRST_ITEM
    assert not {5, 7, 9} & set(first.tolist())
    assert sampled(seen, 8, 500).tolist() != first.tolist()


def test_recommendations_are_new_in_order_and_as_many_as_asked(predictor: Predictor) -> None:
    (answer,) = predictor.predict([{"history": ["i1", "i2", "i3"], "count": 5}])

    items = [each["item"] for each in answer["items"]]
    assert len(set(items)) == 5
    assert not {"i1", "i2", "i3"} & set(items)
    scores = [each["score"] for each in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) <= 1
    assert answer["unknown"] == 0


def test_more_than_there_are_gives_all_there_are(predictor: Predictor) -> None:
    (answer,) = predictor.predict([{"history": ["i1"], "count": 1000}])

    assert len(answer["items"]) == 16


def test_a_new_user_and_unknown_items_get_an_answer(predictor: Predictor) -> None:
    new, unknown = predictor.predict([{"history": []}, {"history": ["never", "seen"]}])

    assert len(new["items"]) == 10
    assert new["items"] == unknown["items"]
    assert (new["unknown"], unknown["unknown"]) == (0, 2)


def test_a_profile_is_the_same_alone_and_among_others_and_is_the_embedding(predictor: Predictor) -> None:
    asked = [{"history": ["i1", "i2"]}, {"history": ["i5", "i6", "i7", "i8", "i9", "i10"]}, {"history": []}]
    for given, among in zip(asked, predictor.predict(asked), strict=True):
        (alone,) = predictor.predict([given])
        assert among["profile"] == pytest.approx(alone["profile"], abs=1e-6)
        (embedded,) = predictor.predict([given], parameters={"return": "embedding"})
        assert embedded["embedding"] == pytest.approx(alone["profile"], abs=1e-6)


def test_ids_may_be_numbers(predictor: Predictor) -> None:
    assert predictor.predict([{"history": [1, 2.0]}])[0]["unknown"] == 2


@pytest.mark.parametrize(
    "given", [{}, {"history": "i1"}, {"history": [None]}, {"history": [""]}, {"history": [], "count": 0}]
)
def test_what_is_no_history_is_told(given: dict[str, object], predictor: Predictor) -> None:
    with pytest.raises(InputError, match=r"history|count"):
        predictor.predict([given])


def test_a_run_reports_popularity_beside_each_figure(tmp_path: Path) -> None:
    tiny = {"name": "rnn", "config": ARCHITECTURES["rnn"].tiny().model_dump(mode="json")}
    wanted = spec("finetune", task="recommendation", architecture=tiny)
    report = run(samples.path(Recommendation.columns), tmp_path, wanted).report

    assert report is not None
    assert report["metrics"].keys() == report["baseline"].keys() == Recommendation.metrics.keys()
    assert report["intervals"].keys() == {"hit_rate_at_10", "hit_rate_at_10_of_100"}
