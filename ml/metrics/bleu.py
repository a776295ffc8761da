"""BLEU and chrF over a whole split, as sacrebleu computes them."""

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
        "BLEU of the whole split, 0 to 100: precision of n-grams of one to four words against the reference, with a "
        "brevity penalty (Papineni et al. 2002; sacrebleu, its signature is in the report)",
        True,
    ),
    "chrf": Metric(
        "chrF2 of the whole split, 0 to 100: F-score of n-grams of one to six characters, recall weighted twice "
        "(Popovic 2015)",
        True,
    ),
}
MAX_EXAMPLES: Final = 20
#: Longest n-gram that BLEU counts.
MAX_ORDER: Final = 4
#: Texts, evenly spaced, that are inspected for the typical text and for the script.
MAX_INSPECTED_TEXTS: Final = 5_000
#: Scripts, by the first word of a character's Unicode name, that put no spaces between words.
SCRIPTS_WITHOUT_SPACES: Final = ("HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass(frozen=True, slots=True)
class Scores:
    """BLEU and chrF with the sacrebleu signatures that say how they were computed."""

    metrics: dict[str, float]
    signatures: dict[str, str]
    #: Notes for the report.
    notes: list[str]


def corpus_scores(outputs: Sequence[str], references: Sequence[str]) -> Scores:
    """Compute BLEU and chrF over all texts together.

    Chinese, and scripts without spaces between words, are tokenized by character.
    """
    bleu, chrf = _bleu(references), _chrf()
    bleu_score = bleu.corpus_score(outputs, [references])
    metrics = {"bleu": bleu_score.score, "chrf": chrf.corpus_score(outputs, [references]).score}
    signatures = {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())}
    # An answer of n tokens has n - 1 pairs, so that the difference is the number of answers with a token.
    unigrams, bigrams, _, fourgrams = bleu_score.totals
    return Scores(metrics, signatures, _short_answer_notes(unigrams, unigrams - bigrams, fourgrams))


def _short_answer_notes(tokens: int, answers: int, fourgrams: int) -> list[str]:
    if tokens and not fourgrams:
        return [
            f"bleu is 0 whatever the answers are: no answer has {MAX_ORDER} tokens, and BLEU counts n-grams of up to "
            f"{MAX_ORDER} (sacrebleu gives 0, too); see chrf"
        ]
    if tokens < MAX_ORDER * answers:
        mean = tokens / answers
        return [
            f"bleu rests on few n-grams: answers have {mean:.1f} tokens on average, and shorter ones than {MAX_ORDER} "
            f"have no n-gram of {MAX_ORDER}; see chrf"
        ]
    return []


def worst_rows(inputs: Sequence[str], outputs: Sequence[str], references: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows with the lowest chrF; `index` counts from 0 in the split."""
    chrf = _chrf()
    scores = [
        chrf.sentence_score(output, [reference]).score for output, reference in zip(outputs, references, strict=True)
    ]
    order = sorted(range(len(scores)), key=lambda index: scores[index])[:MAX_EXAMPLES]
    return [
        {
            "index": index,
            "text": inputs[index],
            "answer": outputs[index],
            "reference": references[index],
            "chrf": scores[index],
        }
        for index in order
    ]


def most_typical_text(texts: Sequence[str]) -> str:
    """Return the text of average length with the most frequent n-grams.

    It is the best answer that ignores the input.
    """
    sample = texts[:: -(-len(texts) // MAX_INSPECTED_TEXTS) or 1]
    ngrams = [_ngrams(text) for text in sample]
    mean_words = sum(len(text.split()) for text in sample) / len(sample)
    counts = Counter(ngram for text_ngrams in ngrams for ngram in text_ngrams)
    near = [index for index, text in enumerate(sample) if 0.8 * mean_words <= len(text.split()) <= 1.3 * mean_words]
    candidates = near or range(len(sample))
    return sample[max(candidates, key=lambda index: sum(counts[ngram] for ngram in ngrams[index]))]


def _ngrams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[start : start + length]) for length in range(1, 5) for start in range(len(words) - length + 1)}


def _bleu(references: Sequence[str]) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=_choose_tokenizer(references))


def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _choose_tokenizer(texts: Sequence[str]) -> str:
    """Choose the sacrebleu tokenizer by the script of the texts."""
    sample = "".join(texts[:: -(-len(texts) // MAX_INSPECTED_TEXTS) or 1])[: 50 * MAX_INSPECTED_TEXTS]
    scripts = Counter(unicodedata.name(character, "").partition(" ")[0] for character in sample if character.isalpha())
    if sum(scripts[script] for script in SCRIPTS_WITHOUT_SPACES) * 5 > sum(scripts.values()):
        return "char"
    return "zh" if scripts["CJK"] * 2 > sum(scripts.values()) else "13a"
