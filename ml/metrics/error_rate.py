"""Word error rate (WER) and character error rate (CER), as jiwer computes them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ml.metrics.base import Evaluation, Metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

METRICS: Final[Mapping[str, Metric]] = {
    "word_error_rate": Metric(
        "Words replaced, deleted or inserted over all texts, for each word of the references; words are separated by "
        "whitespace",
        False,
    ),
    "character_error_rate": Metric(
        "Characters replaced, deleted or inserted over all texts, for each character of the references",
        False,
    ),
    "exact": Metric("Fraction of rows whose text equals the reference", True),
}
#: Rows in the report, those with the highest character error rate first.
MAX_WORST_ROWS: Final = 20


def evaluate(outputs: Sequence[str], references: Sequence[str], *, train: Sequence[str] | None) -> Evaluation:
    """Compute error rates over all rows together.

    The baseline answers every row with the most common text of `train`.
    """
    baseline = {}
    if train:
        most_common = Counter(train).most_common(1)[0][0]
        baseline = _error_rates([most_common] * len(references), references)
    extra = {"worst": _worst_rows(outputs, references)}
    metrics = _error_rates(outputs, references)
    return Evaluation(metrics, baseline, notes=_notes(metrics, references), extra=extra)


def _notes(metrics: Mapping[str, float], references: Sequence[str]) -> list[str]:
    if not any(reference.split() for reference in references):
        return ["the error rates count the words and characters of the outputs, as all references are empty"]
    above = [name for name in ("word_error_rate", "character_error_rate") if metrics[name] > 1]
    return [
        f"{name} is {metrics[name]:.4g}: it exceeds 1 where more is inserted, replaced and deleted than the references "
        "have; it is no fraction of wrong words or characters"
        for name in above
    ]


def _error_rates(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    # Imported here: it takes 0.1 s, which only a process that evaluates has to spend.
    import jiwer

    pairs = zip(outputs, references, strict=True)
    return {
        "word_error_rate": float(jiwer.wer(list(references), list(outputs))),
        "character_error_rate": float(jiwer.cer(list(references), list(outputs))),
        "exact": sum(output == reference for output, reference in pairs) / len(references),
    }


def _worst_rows(outputs: Sequence[str], references: Sequence[str]) -> list[dict[str, Any]]:
    """Return the worst rows, counted from 1, with the expected and the actual text."""
    import jiwer

    pairs = enumerate(zip(outputs, references, strict=True))
    wrong = [row for row, (output, reference) in pairs if output != reference]
    rates = {row: float(jiwer.cer(references[row], outputs[row])) for row in wrong}
    worst = sorted(wrong, key=lambda row: -rates[row])[:MAX_WORST_ROWS]
    return [{"row": row + 1, "expected": references[row], "found": outputs[row]} for row in worst]
