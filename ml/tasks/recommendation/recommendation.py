"""Recommendation by behavior alone: an item is what happens before and after it."""

from __future__ import annotations

from ml.tasks.recommendation.base import NextItemTask


class Recommendation(NextItemTask):
    """Predicts the next item from the ids of the items before."""

    name = "recommendation"
    summary = "Recommend the next items to a user, from the items before; and embed users by their history"
    head = "next_token"
