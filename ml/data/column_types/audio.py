"""Audio clips, stored as encoded files."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ml.audio.waveform import Audio
from ml.data.column_types._running_range import RunningRange
from ml.data.column_types.base import ColumnType
from ml.data.files import audio, base64_data
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits

#: Above this duration, training needs more memory and time than most machines have.
LONG_SECONDS: Final = 30.0

#: No limit in practice: a stored clip was short enough for the limits of its import.
MAX_STORED_SECONDS: Final = 86_400.0


class AudioType(ColumnType[Audio]):
    """Rows contain `Audio`: float32 [N] in -1..1, one channel. Batches contain files as bytes."""

    name = "audio"
    noun = "audio clip"

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._rates: Counter[int] = Counter()
        self._seconds = RunningRange()

    def pack(self, value: bytes, at: Location) -> bytes:
        """Return the file unchanged, once it was decoded without an error."""
        try:
            decoded = audio.read(value, max_seconds=self.limits.max_audio_seconds)
        except audio.UnreadableAudio as error:
            raise DataRejected(error.issue, actual=error.message, expected=error.expected) from error
        for number, repair in enumerate(decoded.repairs):
            self.issues.add(repair, at=at, rows=int(number == 0))
        clip = decoded.audio
        for warning in decoded.warnings:
            self.issues.add(warning, at=at, actual=f"{clip.seconds:.2f} s")
        if self._rates and clip.rate_hz not in self._rates:
            expected = f"{next(iter(self._rates)):,} Hz, as in the first clip"
            self.issues.add("audio_rates_differ", at=at, actual=f"{clip.rate_hz:,} Hz", expected=expected)
        if clip.seconds > LONG_SECONDS:
            expected = f"at most {LONG_SECONDS:.0f} s"
            self.issues.add("audio_long", at=at, actual=f"{clip.seconds:.1f} s", expected=expected)
        self._rates[clip.rate_hz] += 1
        self._seconds.add(clip.seconds)
        return value

    @classmethod
    def from_cell(cls, cell: Any) -> bytes:
        """Return the file in a table cell.

        A cell holds bytes, `{"bytes": ...}` as Hugging Face stores it, or base64.
        """
        data = base64_data.from_cell(cell)
        if data is None:
            raise DataRejected("audio_not_encoded", actual=cell or "nothing", expected="base64 of an audio file")
        return data

    @classmethod
    def unpack(cls, data: bytes) -> Audio:
        """Decode the file, at every access."""
        return audio.decode(data, max_seconds=MAX_STORED_SECONDS)

    @classmethod
    def to_raw(cls, data: bytes) -> bytes:
        """Return the file."""
        return data

    def facts(self) -> dict[str, Any]:
        """Return the most frequent sample rate, and the durations."""
        if not self._rates:
            return {}
        return {
            "rate_hz": self._rates.most_common(1)[0][0],
            "rates": len(self._rates),
            "seconds": round(self._seconds.total, 3),
            "min_seconds": round(self._seconds.min, 3),
            "max_seconds": round(self._seconds.max, 3),
        }
