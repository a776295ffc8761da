"""Weights of interactions: by rarity, by request, by ratings; what does not fit a dataset."""

from typing import Any

import numpy as np
import pytest

from ml.data.rows import Rows
from ml.encoders.items import PADDING, ItemsEncoder
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.tasks.recommendation._interaction_weights import InteractionWeights, weigh_by_rarity
from ml.tasks.recommendation.base import RecommendationConfig
from ml.tasks.recommendation.recommendation import Recommendation
from tests.support.ml import image_models
from tests.support.ml.digits import spec

HISTORIES = [["a", "b", "c", "d"], ["a", "c"]]
EVENTS = [["view", "purchase", "view", "view"], ["view", ""]]
COLUMNS: dict[str, list[Any]] = {"history": HISTORIES, "events": EVENTS}


def make_task(columns: dict[str, list[Any]], **config: Any) -> Recommendation:
    encoder = ItemsEncoder.learn(HISTORIES, {})
    task_config = RecommendationConfig(**config)
    summary = image_models.summary(columns={"history": "items"}, splits={"train": 9})
    return Recommendation(task_config, {"history": encoder}, Recommendation.learn(task_config, summary, Rows(columns)))


def test_rare_events_weigh_more_and_rejections_nothing() -> None:
    weights = weigh_by_rarity({"view": 900, "cart": 100, "purchase": 1, "remove_from_cart": 5})
    assert weights == {"view": 1.0, "cart": 3.0, "remove_from_cart": 0.0, "purchase": 10.0}


def test_weights_reach_the_positions_of_their_items() -> None:
    task = make_task(COLUMNS, event_weights={"Purchase": 5, "view": 2})
    columns = task.encode(Rows(COLUMNS))

    evaluated = task.collate(columns)
    trained = task.collate(task.augment(columns, np.random.default_rng(0)))

    assert evaluated["history_weight"].tolist() == [[0, 0, 0, 0, 2], [0, 0, 1, 0, 0]]
    assert trained["history_weight"][:, 1:].tolist() == [[2, 5, 2, 2], [2, 1, 0, 0]]


def test_weights_follow_cut_histories_and_skip_unknown_items() -> None:
    columns = {"history": [["a", "what", "b", "c", "d", "what"]], "weights": [[1.0, 9.0, 2.0, None, 4.0, 9.0]]}
    encoder = ItemsEncoder.learn(HISTORIES, {"length": 4})
    task = Recommendation(RecommendationConfig(), {"history": encoder}, {"interaction_weights": {"weights": True}})
    encoded = task.encode(Rows(columns))

    evaluated = task.collate(encoded)
    windows = set()
    for seed in range(20):
        trained = task.collate(task.augment(encoded, np.random.default_rng(seed)))
        windows.add(tuple(trained["history_weight"][0, 1:].tolist()))

    assert encoded["target"].tolist() == [PADDING]
    assert evaluated["history_weight"].tolist() == [[0, 0, 0]], "the target is unknown"
    assert windows == {(1, 2, 1), (2, 1, 4)}


def test_ratings_weigh_in_proportion_and_a_missing_one_as_the_mean() -> None:
    columns = {"history": [["a", "b", "c", "d"]], "ratings": [[1.0, None, 5.0, -2.0]]}
    task = make_task(columns, rating_weights="proportional")
    weights = task.interaction_weights.weigh({"ratings": columns["ratings"][0]}, 4)
    assert weights.tolist() == pytest.approx([0.5, 1, 2.5, 0])
    assert not make_task(columns).interaction_weights.has_columns


def test_the_report_has_weight_and_hit_rate_of_each_event() -> None:
    task = make_task(COLUMNS)
    outputs = {"rank": np.array([3, 30]), "sampled_rank": np.array([0, 0]), "top": np.zeros((2, 5), dtype=np.int64)}
    section = task.evaluate(outputs, task.encode(Rows(COLUMNS)), train=None).extra["interaction_weights"]
    assert (section["source"], section["events"].keys()) == ("rarity", {"view", "purchase"})
    view, purchase = section["events"]["view"], section["events"]["purchase"]
    assert (view["weight"], view["interactions"], view["rows"], view["hit_rate_at_10"]) == (1.0, 4, 1, 1.0)
    assert (purchase["weight"], purchase["interactions"], purchase["hit_rate_at_10"]) == (2.0, 1, None)


def test_learned_weights_are_json_and_weigh_the_same_again() -> None:
    columns = {**COLUMNS, "weights": [[1.0, 2.0, 3.0, 4.0], [1.0, 1.0]]}
    state = InteractionWeights.learn(Rows(columns), None, rating_weights="equal")
    row = {name: column[0] for name, column in columns.items()}
    assert InteractionWeights(state).weigh(row, 4).tolist() == [1, 4, 3, 4]


@pytest.mark.parametrize(
    ("config", "columns", "message"),
    [
        (
            {"event_weights": {"purchse": 5}},
            {"events": "events"},
            "purchse; the events of the dataset are purchase, view",
        ),
        ({"event_weights": {"view": 0, "purchase": 0}}, {"events": "events"}, "the weight 0"),
        ({"event_weights": {"view": 1}}, {}, "event_weights needs a column of events"),
        ({"rating_weights": "proportional"}, {}, "needs a column of ratings"),
    ],
)
def test_weights_that_do_not_fit_a_dataset_are_refused(config: Any, columns: Any, message: str) -> None:
    facts = {"history": {"items": 9, "mean_items": 4.0, "max_items": 5}, "events": {"events": ["purchase", "view"]}}
    summary = image_models.summary(
        columns={"history": "items", **columns}, splits={"train": 90, "validation": 9}, facts=facts
    )
    request = spec("finetune", task={"name": "recommendation", "config": config})
    findings = check(request, Catalog.load(), summary)
    assert [message in finding.message for finding in findings] == [True], findings
