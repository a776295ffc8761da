"""How well what was said is what was heard: words and letters that are wrong, missing or too many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ml.metrics.base import Evaluation, Metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

METRICS: Final[Mapping[str, Metric]] = {
    "word_error_rate": Metric(
        "Words to be replaced, removed or added to make all texts right, for each word that was really said; words are "
        "what stands between blanks",
        False,
    ),
    "character_error_rate": Metric(
        "Letters to be replaced, removed or added to make all texts right, for each letter that was really said",
        False,
    ),
    "exact": Metric("Share of rows whose text is right in every letter", True),
}
WORST: Final = 20
"""Rows shown, those with most wrong letters first."""


def evaluate(said: Sequence[str], wanted: Sequence[str], *, train: Sequence[str] | None) -> Evaluation:
    """All rows together; the baseline always says the commonest text of training."""
    found = _rates(said, wanted)
    baseline = {}
    if train:
        commonest = Counter(train).most_common(1)[0][0]
        baseline = _rates([commonest] * len(wanted), wanted)
    return Evaluation(found, baseline, extra={"worst": _worst(said, wanted)})


def _rates(said: Sequence[str], wanted: Sequence[str]) -> dict[str, float]:
    # A tenth of a second that only a process that judges need spend.
    import jiwer

    return {
        "word_error_rate": float(jiwer.wer(list(wanted), list(said))),
        "character_error_rate": float(jiwer.cer(list(wanted), list(said))),
        "exact": sum(one == other for one, other in zip(said, wanted, strict=True)) / len(wanted),
    }


def _worst(said: Sequence[str], wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Row from 1, what was said and what was heard."""
    import jiwer

    wrong = [row for row, (one, other) in enumerate(zip(said, wanted, strict=True)) if one != other]
    rates = {row: float(jiwer.cer(wanted[row], said[row])) for row in wrong}
    chosen = sorted(wrong, key=lambda row: -rates[row])[:WORST]
    return [{"row": row + 1, "expected": wanted[row], "found": said[row]} for row in chosen]
