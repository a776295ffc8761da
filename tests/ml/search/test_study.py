"""Proposals, halving and importance, from trials alone."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from ml.config import Choice
from ml.search.halving import Halving
from ml.search.importance import importance
from ml.search.schema import SearchRange
from ml.search.strategies import STRATEGIES
from ml.search.study import propose
from ml.search.trial import Outcome, Trial, best_trial

SPACE = {
    "schedule.learning_rate": SearchRange(low=1e-4, high=1e-1, log=True),
    "schedule.batch_size": SearchRange(low=8, high=64),
    "architecture": ["cnn", {"name": "cnn", "config": {"preset": "large"}}, "resnet"],
}
OUTCOMES = (Outcome.COMPLETE, Outcome.PRUNED, Outcome.COMPLETE, Outcome.FAILED, Outcome.RUNNING)


def score(parameters: dict[str, Any]) -> float:
    """Best at a learning rate of 0.01; no other setting matters."""
    return -abs(math.log10(parameters["schedule.learning_rate"]) + 2)


def search(strategy: str, *, seed: int, trials: int, outcomes: tuple[Outcome, ...] = OUTCOMES) -> list[Trial]:
    rows: list[Trial] = []
    for number in range(trials):
        choice = Choice(name=strategy)
        parameters = propose(choice, SPACE, rows, seed=seed, number=number, higher_is_better=True)
        outcome, value = outcomes[number % len(outcomes)], score(parameters)
        rows.append(
            Trial(
                number=number,
                outcome=outcome,
                parameters=parameters,
                value=value if outcome is Outcome.COMPLETE else None,
                rungs=() if outcome in (Outcome.FAILED, Outcome.RUNNING) else (value,),
            )
        )
    return rows


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_proposals_depend_on_seed_number_and_trials_alone(strategy: str) -> None:
    first, again, another = (search(strategy, seed=seed, trials=8) for seed in (1, 1, 2))
    assert first == again
    assert first != another
    # An interrupted search continues with the proposal that it would have made.
    resumed = propose(Choice(name=strategy), SPACE, first[:7], seed=1, number=7, higher_is_better=True)
    assert resumed == first[7].parameters
    # Every trial differs: a sampler that is made anew with one seed would repeat its first proposal.
    assert len({str(trial.parameters) for trial in first}) == 8
    parallel = [propose(Choice(name=strategy), SPACE, [], seed=1, number=n, higher_is_better=True) for n in range(4)]
    assert len({str(parameters) for parameters in parallel}) == 4


def test_proposals_stay_in_the_space() -> None:
    for trial in search("tpe", seed=3, trials=12):
        assert 1e-4 <= trial.parameters["schedule.learning_rate"] <= 1e-1
        assert isinstance(trial.parameters["schedule.batch_size"], int)
        assert trial.parameters["architecture"] in SPACE["architecture"]


def test_tpe_proposes_better_settings_than_random_search() -> None:
    # The mean of the last 20 of 40 proposals, where TPE has learned; random search averages -0.83 in this space.
    means = {
        strategy: sum(score(trial.parameters) for trial in search(strategy, seed=5, trials=40)[20:]) / 20
        for strategy in ("tpe", "random")
    }
    assert means["tpe"] > means["random"] + 0.2


def test_a_trial_outside_the_space_does_not_take_part() -> None:
    trials = [Trial(number=0, outcome=Outcome.COMPLETE, parameters=None, value=0.5)]
    with_it, without = (
        propose(Choice(name="tpe"), SPACE, history, seed=0, number=1, higher_is_better=True) for history in (trials, [])
    )
    assert with_it == without


@pytest.mark.parametrize(
    ("epochs", "evaluations"), [(27, [3, 9, 27]), (10, [1, 3, 10]), (4, [1, 1, 4]), (1, [1, 1, 1])]
)
def test_rungs_are_fractions_of_the_epochs(epochs: int, evaluations: list[int]) -> None:
    assert Halving().evaluations(epochs) == evaluations


def test_the_value_at_a_rung_is_the_best_so_far() -> None:
    halving = Halving()
    curve = [0.1, 0.5, 0.4, None, 0.6]
    assert halving.rung_values(curve, epochs=9, higher_is_better=True) == [0.1, 0.5]
    assert halving.rung_values(curve, epochs=9, higher_is_better=False) == [0.1, 0.1]


def test_a_trial_continues_if_it_is_among_the_best_third_so_far() -> None:
    halving = Halving(factor=3)
    assert not halving.is_weak(0.1, [], higher_is_better=True)
    assert halving.is_weak(0.1, [0.2], higher_is_better=True)
    assert not halving.is_weak(0.3, [0.2, 0.1], higher_is_better=True)
    assert not halving.is_weak(0.3, [0.4, 0.1, 0.1, 0.1, 0.1], higher_is_better=True)
    assert halving.is_weak(0.3, [0.4, 0.5, 0.1, 0.1, 0.1], higher_is_better=True)
    assert not halving.is_weak(0.1, [0.2, 0.3], higher_is_better=False)


def test_equal_trials_do_not_all_continue() -> None:
    # With few validation rows many trials are right in all of them.
    halving = Halving(factor=3)
    assert not halving.is_weak(1.0, [1.0], higher_is_better=True)
    assert halving.is_weak(1.0, [1.0, 1.0, 1.0], higher_is_better=True)
    assert halving.is_weak(1.0, [1.0] * 15, higher_is_better=True)
    assert cost_of([1] * 16, halving, epochs=18) < 0.4


def cost_of(values: list[int], halving: Halving, *, epochs: int) -> float:
    """Return the cost of trials as a fraction of that of full runs."""
    reached: dict[int, list[float]] = {count: [] for count in halving.evaluations(epochs)}
    spent = 0
    for value in values:
        for count in dict.fromkeys(halving.evaluations(epochs)):
            others = reached[count]
            weak = halving.is_weak(
                value, others, higher_is_better=True, rungs=halving.count_rungs(count, epochs=epochs)
            )
            others.append(value)
            if weak or count == epochs:
                spent += count
                break
    return spent / (epochs * len(values))


def test_sixteen_trials_cost_a_third_of_as_many_full_runs() -> None:
    # Mean over 200 random orders. An order from worst to best, in which nothing can be ended early, costs them all.
    orders = [random.Random(seed).sample(range(16), 16) for seed in range(200)]
    assert sum(cost_of(order, Halving(), epochs=18) for order in orders) / len(orders) == pytest.approx(0.3, abs=0.04)
    assert cost_of(list(range(16)), Halving(), epochs=18) == 1


def test_rungs_that_are_reached_at_once_select_as_they_would_apart() -> None:
    # Four epochs have one comparison, after the first: a quarter of each run is spent before it.
    orders = [random.Random(seed).sample(range(16), 16) for seed in range(200)]
    assert Halving().count_rungs(1, epochs=4) == 2
    assert sum(cost_of(order, Halving(), epochs=4) for order in orders) / len(orders) == pytest.approx(0.4, abs=0.03)


def test_the_lower_loss_then_the_earlier_trial_decides_between_equal_values() -> None:
    def trial(number: int, value: float | None, loss: float, outcome: Outcome = Outcome.COMPLETE) -> Trial:
        return Trial(number=number, outcome=outcome, parameters={}, value=value, loss=loss)

    trials = [trial(0, 0.8, 0.3), trial(1, 0.9, 0.5), trial(2, 0.9, 0.4), trial(3, 0.9, 0.4), trial(4, None, 0.1)]
    best = best_trial([*trials, trial(5, 1.0, 0.0, Outcome.PRUNED)], higher_is_better=True)
    assert best is not None
    assert best.number == 2
    lowest = best_trial(trials, higher_is_better=False)
    assert lowest is not None
    assert lowest.number == 0
    assert best_trial([], higher_is_better=True) is None


def test_importance_names_the_dimension_that_matters() -> None:
    complete = search("random", seed=0, trials=40, outcomes=(Outcome.COMPLETE,))
    measured = importance(complete, SPACE)
    assert measured is not None
    assert measured["fractions"]["schedule.learning_rate"] > 0.6
    assert sum(measured["fractions"].values()) == pytest.approx(1, abs=1e-3)  # rounded to 4 digits
    assert (measured["trials"], measured["at_first_rung"]) == (40, False)
    pruned = search("random", seed=0, trials=16)
    measured = importance(pruned, SPACE)
    assert measured is not None
    assert measured["at_first_rung"]
    assert importance(complete[:3], SPACE) is None
