"""Canonical columns that a table can bring, and the usual names of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Canonical column -> the name of its column type.
CANONICAL_COLUMNS: Final[Mapping[str, str]] = {
    "image": "image",
    "text": "text",
    "prompt": "text",
    "target": "text",
    "label": "label",
    "objects": "objects",
    "audio": "audio",
    "speaker": "text",
    "features": "record",
    "value": "number",
}
#: Canonical column -> its usual names, the likeliest first; compared without case.
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "image": ("image", "img", "picture", "photo"),
    "text": (
        *("text", "sentence", "review", "content", "document", "comment", "message", "body", "source", "src"),
        *("caption", "transcription", "transcript", "tweet", "normalized_text", "utterance", "article"),
        *("completion", "response", "output", "answer", "chosen", "correct_answer", "best_answer", "solution"),
        "canonical_solution",
    ),
    "prompt": ("prompt", "instruction", "question", "query", "input"),
    "target": ("target", "translation", "tgt", "reference", "tgt_text"),
    "label": (
        *("label", "labels", "class", "target", "category", "y", "digit", "class_name", "class_label"),
        *("gold_label", "sentiment", "polarity", "class_id", "label_id", "category_id", "class_index", "fine_label"),
        "primary_label",
    ),
    "objects": ("objects", "annotations", "boxes"),
    "audio": ("audio", "recording", "speech", "sound", "wav", "audio_bytes", "voice"),
    "speaker": ("speaker", "speaker_id", "speaker_name", "client_id", "voice_name", "speakerid", "spk", "spk_id"),
    "features": ("features",),
    "value": ("value", "target", "label", "y", "labels", "output", "response", "outcome"),
}
#: Usual names of a text that says how to answer every prompt; it precedes the prompt.
SYSTEM_NAMES: Final = ("system", "system_prompt", "system_message")
#: Usual names of what an instruction or question is about; it follows the prompt.
CONTEXT_NAMES: Final = ("input", "inputs", "context", "passage", "document", "support")
#: Usual names of an answer: beside a prompt they have precedence over other names of a text.
ANSWER_NAMES: Final = (
    *("completion", "response", "output", "answer", "chosen", "correct_answer", "best_answer", "solution"),
    "canonical_solution",
)
#: Names of a label that writes out what a column of numbers codes: 0 and negative.
WRITTEN_LABEL_NAMES: Final = (
    *("label_text", "label_name", "class_name", "category_name", "label_str", "label_names", "class_names"),
    *("target_name", "target_names", "target_text", "category_text", "label_string", "intent_name", "label_desc"),
)
#: Names of a label that judges what stands beside it, rather than sorts it by topic.
JUDGMENT_NAMES: Final = ("label", "labels", "gold_label", "y", "target", "class")
#: Names of two texts that are judged together, besides names that differ in a final 1 and 2, or a and b.
PAIR_NAMES: Final = (
    *(("premise", "hypothesis"), ("question", "sentence"), ("question", "passage"), ("query", "passage")),
    *(("query", "document"), ("question", "answer"), ("claim", "evidence"), ("text", "hypothesis"), ("text", "pair")),
    *(("context", "hypothesis"), ("query", "positive"), ("anchor", "positive"), ("query", "response")),
    *(("source_sentence", "target_sentence"), ("headline", "body"), ("premise", "conclusion"), ("query", "text")),
    *(("sentence", "sentence_pair"), ("text", "text_pair"), ("context", "response"), ("question", "context")),
)
#: The name of the first of two columns of one kind: sentence1, text_a.
FIRST_OF_PAIR: Final = re.compile(r"(?P<before>.+?)(?P<number>1|a|one)")
_SECOND: Final = {"1": "2", "a": "b", "one": "two"}
#: A column of Hugging Face datasets that holds a text in several languages; read as `translation.en`, ...
TRANSLATION: Final = "translation"
#: Names of a column that divides the rows for cross-validation.
FOLD_NAME: Final = re.compile(r"(k|cv)?[_-]?folds?", re.IGNORECASE)
#: Names of columns that number or divide rows, or name the file a row came from.
NON_DATA_NAME: Final = re.compile(
    rf"|index|id|row|idx|(image|img)_?id|unnamed: ?\d+|filename|file_name|path|{FOLD_NAME.pattern}", re.IGNORECASE
)


#: Names of a number that says how alike two texts are.
SIMILARITY_NAMES: Final = (
    "similarity",
    "similarity_score",
    "relatedness",
    "relatedness_score",
    "sts_score",
    "gold_score",
)
#: Names of a number that says how alike two texts are, or how well one translates or answers the other.
SCORE_NAMES: Final = ("score", *SIMILARITY_NAMES, "rating", "mean_score", "avg_score", "average_score")
#: Names of answers that are not to be given.
REJECTED_NAMES: Final = ("rejected", "rejected_response", "response_rejected", "negative", "negatives", "distractors")


_CAMEL_CASE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATORS: Final = re.compile(r"[\W_]+")


def plain_name(name: str) -> str:
    """Return the name of a column as usual names are written.

    `Review Text` and `reviewText` become `review_text`.
    """
    stripped = name.strip()
    plain = _SEPARATORS.sub("_", _CAMEL_CASE.sub("_", stripped)).strip("_").lower()
    return plain or stripped.lower()


def find_pairs(names: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions in `names` of two columns that may be judged together.

    `names` are in lower case. The likeliest pair is first.
    """
    for first, second in PAIR_NAMES:
        if first in names and second in names:
            yield names.index(first), names.index(second)
    for position, name in enumerate(names):
        if name.startswith("1_") and (second := f"2_{name[2:]}") in names:  # #1 String, #2 String
            yield position, names.index(second)
        if match := FIRST_OF_PAIR.fullmatch(name):
            second = match["before"] + _SECOND[match["number"]]
            if second in names:
                yield position, names.index(second)


def position_of(canonical: str, names: list[str]) -> int | None:
    """Return the position in lower-case `names` of a name of `canonical`.

    A name such as `ticket_text` is one of a text, too.
    """
    aliases = [alias for alias in ALIASES[canonical] if alias in names]
    if canonical == "text" and (not aliases or aliases[0] in ANSWER_NAMES):
        texts = [name for name in names if name.endswith("_text") and name not in WRITTEN_LABEL_NAMES]
        aliases = [*texts, *aliases]
    return names.index(aliases[0]) if aliases else None
