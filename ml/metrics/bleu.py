"""How alike texts are to those that were wanted, over a whole split: BLEU and chrF as sacrebleu counts them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ml.metrics.base import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

METRICS: Final[Mapping[str, Metric]] = {
    "bleu": Metric(
        "BLEU of the whole split, 0 to 100: how many runs of one to four words are those of the reference, short "
        "answers punished (Papineni et al. 2002; sacrebleu, its signature in the report)",
        True,
    ),
    "chrf": Metric(
        "chrF2 of the whole split, 0 to 100: the same of runs of one to six letters, recall counting twice "
        "(Popovic 2015)",
        True,
    ),
}
MAX_EXAMPLES: Final = 20
LOOKED_AT: Final = 5_000
"""So many texts, evenly spread, say what is typical, or which script they are written in."""
WITHOUT_BLANKS: Final = ("HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass(frozen=True, slots=True)
class Scores:
    """Both, and how they were counted."""

    metrics: dict[str, float]
    signatures: dict[str, str]


def score(answers: Sequence[str], wanted: Sequence[str]) -> Scores:
    """Of all texts together. Chinese is counted by letter, and so are scripts that put no blanks between words."""
    bleu, chrf = _bleu(wanted), _chrf()
    found = {"bleu": bleu.corpus_score(answers, [wanted]).score, "chrf": chrf.corpus_score(answers, [wanted]).score}
    return Scores(found, {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())})


def worst(given: Sequence[str], answers: Sequence[str], wanted: Sequence[str]) -> list[dict[str, Any]]:
    """The rows whose answer is the least like what was wanted, by chrF; `index` counts from 0 in the split."""
    chrf = _chrf()
    each = [chrf.sentence_score(answer, [text]).score for answer, text in zip(answers, wanted, strict=True)]
    order = sorted(range(len(each)), key=lambda index: each[index])[:MAX_EXAMPLES]
    return [
        {"index": index, "text": given[index], "answer": answers[index], "wanted": wanted[index], "chrf": each[index]}
        for index in order
    ]


def most_typical(texts: Sequence[str]) -> str:
    """Of the texts about as long as is usual, that whose runs of words most others have: what to answer blindly."""
    some = texts[:: -(-len(texts) // LOOKED_AT) or 1]
    runs = [_runs(text) for text in some]
    usual = sum(len(text.split()) for text in some) / len(some)
    known = Counter(run for each in runs for run in each)
    near = [index for index, text in enumerate(some) if 0.8 * usual <= len(text.split()) <= 1.3 * usual]
    return some[max(near or range(len(some)), key=lambda index: sum(known[run] for run in runs[index]))]


def _runs(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[start : start + length]) for length in range(1, 5) for start in range(len(words) - length + 1)}


def _bleu(wanted: Sequence[str]) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=_cut(wanted))


def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _cut(texts: Sequence[str]) -> str:
    """Which of sacrebleu's ways to cut words is meant for such texts."""
    letters = "".join(texts[:: -(-len(texts) // LOOKED_AT) or 1])[: 50 * LOOKED_AT]
    scripts = Counter(unicodedata.name(letter, "").partition(" ")[0] for letter in letters if letter.isalpha())
    if sum(scripts[script] for script in WITHOUT_BLANKS) * 5 > sum(scripts.values()):
        return "char"
    return "zh" if scripts["CJK"] * 2 > sum(scripts.values()) else "13a"
