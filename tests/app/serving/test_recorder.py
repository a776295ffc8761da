"""The queue of records is bounded, and a full one drops what it cannot hold."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from app.metrics.models import ModelRecord
from app.serving import recorder
from app.serving.recorder import RequestRecorder
from app.serving.types import WatchRoute

WATCH = WatchRoute("wch_1", 1.0)
OUTPUT = {"label": "a", "confidence": 0.9}


def test_records_without_room_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Any] = []
    monkeypatch.setattr(recorder, "MAX_WAITING", 3)
    monkeypatch.setattr(recorder, "_save", lambda answered, figures: saved.append((len(answered), figures)))
    model: Any = SimpleNamespace(served=SimpleNamespace(id="m", name="toy", version=2), record=ModelRecord())

    async def fill() -> None:
        own = RequestRecorder()
        for _ in range(5):
            own.offer(WATCH, model, ["text"], {}, [OUTPUT], "id")
        own.offer(WATCH, model, ["x" * (recorder.MAX_INPUT_BYTES + 1)], {}, [OUTPUT], "id")
        own.count(WATCH, 2)
        own.close()

    asyncio.run(fill())
    assert saved == [(3, {"wch_1": {"2": {"recorded": 3, "dropped": 3, "requests": 1}}})]
    assert (model.record.recorded, model.record.record_drops) == (3, 3)
