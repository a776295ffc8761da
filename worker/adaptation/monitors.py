"""Drift tests of a watched version, whose state outlives the process."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.drift import DRIFT_TESTS
from ml.drift.base import MAX_ROWS, DriftMonitor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from store.tables import RequestRecord

#: Rows of a version that later ones are compared with.
REFERENCE_ROWS: Final = 200
#: Probability of an alarm without drift, of all tests together.
FALSE_ALARM_RATE: Final = 0.01
SEED: Final = 0
META: Final = "meta"


class VersionMonitors:
    """Drift tests of one version, which learn from its first rows."""

    def __init__(self, version: int, tests: Sequence[str]) -> None:
        """`tests` are all that were chosen; those without values in the rows are left out."""
        self.version = version
        self.tests = list(tests)
        self.labels: list[str] = []
        self.alarm_times: dict[str, str] = {}
        self._references: dict[str, NDArray[np.float64]] = {}
        self._monitors: dict[str, DriftMonitor] = {}

    def update(self, records: Sequence[RequestRecord]) -> list[str]:
        """Read rows; return the tests that raise their alarm by them."""
        alarms = []
        for name in list(self.tests):
            values = self._values(name, records)
            if values is None:
                self.tests.remove(name)
                continue
            if self._read(name, values):
                self.alarm_times[name] = datetime.now(UTC).isoformat()
                alarms.append(name)
        return alarms

    def describe(self) -> list[dict[str, Any]]:
        """Return the state of each test, as the API shows it."""
        rate = self._rate
        states = []
        for name in self.tests:
            monitor = self._monitors.get(name)
            states.append(
                {
                    "test": name,
                    "version": self.version,
                    "reference_rows": len(self._references.get(name, ())),
                    "rows": monitor.rows if monitor else 0,
                    "value": monitor.wealth if monitor else 1.0,
                    "threshold": 1.0 / rate,
                    "false_alarm_rate": rate,
                    "alarm_at": self.alarm_times.get(name),
                    "alarm_row": monitor.alarm_row if monitor else None,
                }
            )
        return states

    @property
    def _rate(self) -> float:
        return FALSE_ALARM_RATE / max(1, len(self.tests))

    def _read(self, name: str, values: NDArray[np.float64]) -> bool:
        """Return whether a test raises its alarm by these rows."""
        if name not in self._monitors:
            earlier = self._references.get(name)
            reference = values if earlier is None else np.concatenate([earlier, values])
            self._references[name], values = reference[:REFERENCE_ROWS], reference[REFERENCE_ROWS:]
            if len(self._references[name]) < REFERENCE_ROWS:
                return False
            self._monitors[name] = self._open(name)
        monitor = self._monitors[name]
        had_alarm = monitor.alarm_row is not None
        has_alarm = monitor.update(values)
        if monitor.rows >= MAX_ROWS and not has_alarm:
            # Its memory is bounded, so it starts anew, with the next rows as the reference.
            del self._monitors[name], self._references[name]
        return has_alarm and not had_alarm

    def _open(self, name: str) -> DriftMonitor:
        return DriftMonitor(DRIFT_TESTS[name](), self._references[name], seed=SEED, alpha=self._rate)

    def _values(self, name: str, records: Sequence[RequestRecord]) -> NDArray[np.float64] | None:
        """Return the values of one test, float [rows, features]; None where the rows have none."""
        match name:
            case "confidence":
                return np.array([[row.confidence] for row in records])
            case "class_shares":
                for row in records:
                    if row.label not in self.labels:
                        self.labels.append(row.label)
                return np.array([[float(self.labels.index(row.label))] for row in records])
            case "embedding":
                vectors = [np.frombuffer(row.embedding, np.float32) for row in records if row.embedding]
                is_complete = len(vectors) == len(records) and len({len(vector) for vector in vectors}) == 1
                return np.array(vectors, np.float64) if is_complete else None
        return np.array([row.statistics for row in records], np.float64)

    def save(self) -> bytes:
        """Return the state as bytes, without pickles."""
        arrays: dict[str, Any] = {f"{name}.reference": array for name, array in self._references.items()}
        monitors = {}
        for name, monitor in self._monitors.items():
            own_arrays, monitors[name] = monitor.save()
            arrays |= {f"{name}.{key}": array for key, array in own_arrays.items()}
        meta = {
            "version": self.version,
            "tests": self.tests,
            "labels": self.labels,
            "alarm_times": self.alarm_times,
            "monitors": monitors,
        }
        arrays[META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    @classmethod
    def load(cls, content: bytes) -> VersionMonitors:
        """Continue from what `save` returned."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            meta = json.loads(arrays[META].tobytes())
            monitors = cls(meta["version"], meta["tests"])
            monitors.labels, monitors.alarm_times = meta["labels"], meta["alarm_times"]
            names = [key.removesuffix(".reference") for key in arrays if key.endswith(".reference")]
            monitors._references = {name: arrays[f"{name}.reference"] for name in names}
            for name, rest in meta["monitors"].items():
                monitor = monitors._monitors[name] = monitors._open(name)
                monitor.restore({key: arrays[f"{name}.{key}"] for key in ("history", "wealth")}, rest)
        return monitors
