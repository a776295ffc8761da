"""Recordings: as encoded files of any usual make."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ml.audio.waveform import Audio
from ml.data.column_types.base import ColumnType
from ml.data.files import audio, base64_data
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits

LONG_SECONDS: Final = 30.0
"""Beyond, memory and time of training grow past what most machines have."""

UNPACKED_SECONDS: Final = 86_400.0
"""What is stored was found short enough when it was imported, whatever the limit was then."""


class AudioType(ColumnType[Audio]):
    """A row holds `Audio`: float32 [N] in -1..1, one channel. A batch brings files as bytes."""

    name = "audio"
    noun = "recording"

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._rates: Counter[int] = Counter()
        self._seconds = 0.0
        self._shortest = float("inf")
        self._longest = 0.0

    def pack(self, value: bytes, at: Location) -> bytes:
        """The file as it came, once it was found to be a recording."""
        try:
            recording = audio.read(value, max_seconds=self.limits.max_audio_seconds)
        except audio.UnreadableAudio as error:
            raise DataRejected(error.issue, actual=error.message, expected=error.expected) from error
        for number, repair in enumerate(recording.repairs):
            self.issues.add(repair, at=at, rows=int(number == 0))
        heard = recording.audio
        for warning in recording.warnings:
            self.issues.add(warning, at=at, actual=f"{heard.seconds:.2f} s")
        if self._rates and heard.rate_hz not in self._rates:
            expected = f"{next(iter(self._rates)):,} Hz, as the first"
            self.issues.add("audio_rates_differ", at=at, actual=f"{heard.rate_hz:,} Hz", expected=expected)
        if heard.seconds > LONG_SECONDS:
            expected = f"at most {LONG_SECONDS:.0f} s"
            self.issues.add("audio_long", at=at, actual=f"{heard.seconds:.1f} s", expected=expected)
        self._rates[heard.rate_hz] += 1
        self._seconds += heard.seconds
        self._shortest = min(self._shortest, heard.seconds)
        self._longest = max(self._longest, heard.seconds)
        return value

    @classmethod
    def from_cell(cls, cell: Any) -> bytes:
        """Bytes as they are, `{"bytes": ...}` as Hugging Face stores it, or base64 with or without `data:` before."""
        data = base64_data.from_cell(cell)
        if data is None:
            raise DataRejected("audio_not_encoded", actual=cell or "nothing", expected="base64 of a recording")
        return data

    @classmethod
    def unpack(cls, data: bytes) -> Audio:
        """Decoded at each look."""
        return audio.decode(data, max_seconds=UNPACKED_SECONDS)

    def facts(self) -> dict[str, Any]:
        """The commonest rate, and how long recordings are."""
        if not self._rates:
            return {}
        return {
            "rate_hz": self._rates.most_common(1)[0][0],
            "rates": len(self._rates),
            "seconds": round(self._seconds, 3),
            "min_seconds": round(self._shortest, 3),
            "max_seconds": round(self._longest, 3),
        }
