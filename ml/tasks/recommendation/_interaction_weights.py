"""Weights of interactions in the loss, by their events, ratings and weights.

N items of a history, E names of events.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows

EVENTS: Final = "events"
RATINGS: Final = "ratings"
WEIGHTS: Final = "weights"
#: Columns that the weights are computed from.
COLUMNS: Final = (EVENTS, RATINGS, WEIGHTS)
#: Limit of a weight that an event gets by itself.
MAX_RARITY_WEIGHT: Final = 10.0
#: Events that say that a user does not want an item; they weigh nothing by themselves.
REJECTIONS: Final = frozenset(
    {
        *("dislike", "unlike", "downvote", "skip", "hide", "block", "report", "unsubscribe", "return", "refund"),
        *("remove", "removed", "removefromcart", "removefromwishlist", "cancel", "cancelled", "canceled", "negative"),
    }
)


class InteractionWeights:
    """Computes the weight of each item of a history, from what `learn` has stored."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._weights: Mapping[str, float] = state.get(EVENTS, {})
        self._mean_rating: float | None = state.get("mean_rating")
        self.has_columns = bool(state)
        #: Names of events in the order of their codes.
        self.names = list(self._weights)
        self._codes = {name: code for code, name in enumerate(self.names)}

    @staticmethod
    def learn(rows: Rows, event_weights: Mapping[str, float] | None, *, rating_weights: str) -> dict[str, Any]:
        """Return the weights of events and the mean rating of training rows.

        The result is empty if all interactions count equally.
        """
        state: dict[str, Any] = {}
        if EVENTS in rows.columns:
            counts = Counter(name for names in rows.columns[EVENTS] for name in names or () if name)
            state[EVENTS] = weigh_by_rarity(counts) if event_weights is None else _complete(event_weights, counts)
            state["source"] = "rarity" if event_weights is None else "request"
            state["counts"] = {name: counts.get(name, 0) for name in state[EVENTS]}
        if RATINGS in rows.columns and rating_weights == "proportional":
            ratings = [rating for row in rows.columns[RATINGS] for rating in row or () if rating is not None]
            if (total := sum(max(0.0, rating) for rating in ratings)) > 0:
                state["mean_rating"] = total / len(ratings)
        if WEIGHTS in rows.columns:
            state[WEIGHTS] = True
        return state

    def weigh(self, row: Mapping[str, Any], items: int) -> np.ndarray:
        """Return the weights of the items of a row, float32 [N].

        They are the products of the weights by event, rating and weight column.
        """
        weights = np.ones(items, dtype=np.float32)
        if self._weights and row.get(EVENTS) is not None:
            weights *= np.array([self._weights.get(name, 1.0) for name in row[EVENTS]], dtype=np.float32)
        if self._mean_rating is not None and row.get(RATINGS) is not None:
            mean = self._mean_rating
            ratings = [mean if rating is None else max(0.0, rating) for rating in row[RATINGS]]
            weights *= np.array(ratings, dtype=np.float32) / np.float32(mean)
        if row.get(WEIGHTS) is not None:
            weights *= np.array([1.0 if weight is None else weight for weight in row[WEIGHTS]], dtype=np.float32)
        return weights

    def code_of_last(self, row: Mapping[str, Any]) -> int:
        """Return the code of the last event of a row, into `names`; -1 for none."""
        names = row.get(EVENTS)
        return self._codes.get(names[-1], -1) if names else -1


def weigh_by_rarity(counts: Mapping[str, int]) -> dict[str, float]:
    """Return the weight of each event by how rare it is.

    It is the root of the count of the most frequent event, divided by the count of this one, and at most 10.
    Rare events, such as purchases, say more than frequent ones, such as views. Rejections weigh nothing.
    """
    accepted = {name: count for name, count in counts.items() if _plain(name) not in REJECTIONS and count}
    most = max(accepted.values(), default=1)
    return {
        name: round(min(MAX_RARITY_WEIGHT, float(np.sqrt(most / count))), 3) if name in accepted else 0.0
        for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    }


def check_event_weights(config: Mapping[str, Any], summary: DatasetSummary) -> list[str]:
    """Return why weights that a spec names do not fit a dataset."""
    reasons = []
    requested = config.get("event_weights")
    if requested is not None:
        events = list(summary.facts.get(EVENTS, {}).get(EVENTS, ()))
        if EVENTS not in summary.columns:
            reasons.append(
                "event_weights needs a column of events, which the dataset lacks; upload one called event or behavior"
            )
        elif absent := [name for name in requested if name.strip().lower() not in events]:
            reasons.append(
                f"event_weights names {', '.join(absent)}; the events of the dataset are {', '.join(events)}"
            )
        elif not any(_complete(requested, dict.fromkeys(events, 1)).values()):
            reasons.append("event_weights gives every event of the dataset the weight 0; give one of them a higher one")
    if config.get("rating_weights") == "proportional" and RATINGS not in summary.columns:
        reasons.append(
            'rating_weights "proportional" needs a column of ratings, which the dataset lacks; upload one, or leave '
            "rating_weights out"
        )
    return reasons


def _complete(requested: Mapping[str, float], counts: Mapping[str, int]) -> dict[str, float]:
    """Return the requested weights, and 1 for further events."""
    weights = {name.strip().lower(): float(weight) for name, weight in requested.items()}
    return {name: weights.get(name, 1.0) for name in (*weights, *(name for name in counts if name not in weights))}


def _plain(name: str) -> str:
    return "".join(character for character in name if character.isalpha())
