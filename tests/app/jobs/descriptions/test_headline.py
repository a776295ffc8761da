"""The headline of a job is the metric that its report opens with."""

from __future__ import annotations

from typing import Any

import pytest

from app.jobs.descriptions.headline import choose_headline


def headline(task: str, **latest: float) -> str | None:
    metrics = {name.replace("__", "/"): value for name, value in latest.items()}
    best = choose_headline({"task": {"name": task}}, metrics)
    return best.name if best else None


@pytest.mark.parametrize(
    ("task", "latest", "name"),
    [
        ("object_detection", {"validation__center_loss": 2.0, "test__map50": 0.6, "test__map": 0.3}, "test/map"),
        (
            "recommendation",
            {"validation__accuracy": 0.02, "test__ndcg_at_10": 0.1, "test__hit_rate_at_10": 0.3},
            "test/hit_rate_at_10",
        ),
        (
            "text_generation",
            {"validation__accuracy": 0.2, "test__loss": 2.0, "test__perplexity": 7.0},
            "test/perplexity",
        ),
        ("text_classification", {"test__loss": 0.2, "test__accuracy": 0.9}, "test/accuracy"),
        (
            "text_classification",
            {"train__loss": 0.3, "validation__loss": 0.2, "validation__accuracy": 0.9},
            "validation/accuracy",
        ),
        (
            "object_detection",
            {"validation__center_loss": 2.0, "validation__loss": 3.0, "train__loss": 3.0},
            "validation/loss",
        ),
        ("object_detection", {}, None),
    ],
)
def test_the_first_metric_of_the_task_precedes_every_loss(
    task: str, latest: dict[str, float], name: str | None
) -> None:
    assert headline(task, **latest) == name


@pytest.mark.parametrize(
    "spec",
    [
        {"model": "tickets@1", "dataset": "tickets@2"},
        {"objective": {"name": "masked"}},
        {"job": {"task": "object_detection"}},
    ],
)
def test_jobs_without_a_task_have_a_headline_too(spec: dict[str, Any]) -> None:
    best = choose_headline(spec, {"test/loss": 1.0, "test/map": 0.5})
    assert best is not None
    assert (best.name, best.label, best.value) == ("test/map", "mean average precision on test rows", 0.5)
