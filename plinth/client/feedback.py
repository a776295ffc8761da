"""Feedback methods of the client: send labels, list candidates, make a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plinth.client.transport import API, Transport, drop_none
from plinth.client.types import Feedback, FeedbackDataset, LabelCandidates, build


class FeedbackRows:
    """`plinth.feedback`: the true labels of inputs of a model."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(
        self,
        model: str,
        label: str,
        *,
        request_id: str | None = None,
        position: int = 0,
        input: Mapping[str, Any] | None = None,
        new_label: bool = False,
    ) -> Feedback:
        """Store the label of an answered request (`prediction.request_id`), or of an `input` of its own.

        Raises `NotFound` with the reason if the request is not recorded. The last label of an input counts.
        """
        source = {"request_id": request_id, "position": position} if request_id else {"input": input}
        body = {**drop_none(source), "label": label, "new_label": new_label}
        # Sending it again changes nothing, so that it may be retried.
        response = self._transport.send("POST", f"{API}/models/{model}/feedback", json=body, retry=True)
        return build(Feedback, response.json())

    def candidates(self, model: str, *, limit: int = 20) -> LabelCandidates:
        """List the recorded inputs that are most useful to label: uncertain, and unlike each other."""
        path = f"{API}/models/{model}/feedback/candidates"
        return build(LabelCandidates, self._transport.get(path, limit=limit))

    def create_dataset(
        self, model: str, *, dataset: str | None = None, rehearsal_rows: int | None = None
    ) -> FeedbackDataset:
        """Make the next version of the dataset of a model's feedback; `datasets.wait` waits for it."""
        body = drop_none({"dataset": dataset, "rehearsal_rows": rehearsal_rows})
        return build(FeedbackDataset, self._transport.post(f"{API}/models/{model}/feedback/dataset", body))
