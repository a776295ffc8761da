"""Column detection: finds the canonical columns of a table by rules, applied in order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ml.data.issues import DataRejected
from ml.data.tables.column_aliases import (
    ANSWER_NAMES,
    CANONICAL_COLUMNS,
    CONTEXT_NAMES,
    JUDGMENT_NAMES,
    NON_DATA_NAME,
    SCORE_NAMES,
    SIMILARITY_NAMES,
    SYSTEM_NAMES,
    TRANSLATION,
    WRITTEN_LABEL_NAMES,
    find_pairs,
)
from ml.data.tables.image_columns import detect_image_layout, has_images, is_audio
from ml.data.tables.layout import MAX_LISTED_NAMES, CellColumn, ColumnQuery, Layout
from ml.data.tables.measurements import MAX_LABEL_CHARACTERS, detect_record_layout, has_measurements
from ml.data.tables.target_columns import choose_label, choose_outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Names of columns that judge two texts by classes.
_JUDGMENT: Final = re.compile(r"label|judge?ment|entailment|is_duplicate|verdict")
#: Kinds of columns that may be a part of a prompt.
_WORDS: Final = ("text", "number")
#: Canonical column -> position from 0. The columns joined to `prompt` are `prompt+1`, `prompt+2`.
Assignment = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ColumnDetection:
    """State of the detection in a table without images."""

    query: ColumnQuery
    #: Canonical columns to look for: the required ones, else the usual ones, and the requested ones.
    canonicals: tuple[str, ...]
    assigned: Assignment

    @property
    def required(self) -> Mapping[str, str]:
        """Columns that the task requires; empty if no task was named."""
        return self.query.required or {}

    def is_open(self, canonical: str) -> bool:
        """Return whether the column is looked for and not assigned yet."""
        return canonical in self.canonicals and canonical not in self.assigned

    def free(self) -> list[int]:
        """List the positions of columns that may hold data and are not assigned yet."""
        return self.query.unassigned_positions(self.assigned)

    def free_texts(self) -> list[int]:
        """List the positions of text columns that are not assigned yet.

        One cell for all rows is no text to learn from.
        """
        texts = self.query.unassigned_positions(self.assigned, kind="text")
        return [position for position in texts if not self.query.columns[position].is_constant]

    def last_free(self) -> CellColumn | None:
        """Return the only unassigned column, if it may be a label or target."""
        free = self.free()
        if "label" not in self.canonicals or len(free) != 1 or self.assigned.keys() & {"label", "target", "prompt"}:
            return None
        return self.query.columns[free[0]]


class DetectionRule(NamedTuple):
    """A step of the detection.

    If `applies` returns true, the result of `assign` is added to the assignment.
    """

    name: str
    applies: Callable[[ColumnDetection], bool]
    #: Canonical columns with their positions; None removes a column from the assignment.
    assign: Callable[[ColumnDetection], Mapping[str, int | None]]


def detect_columns(
    columns: Sequence[CellColumn],
    requested: Mapping[str, str | int],
    *,
    has_header: bool,
    required: Mapping[str, str] | None = None,
) -> Layout:
    """Assign canonical columns to the columns of a table.

    Requests have precedence over names, and names over kinds and counts.

    Args:
        columns: The columns of the file.
        requested: Canonical column -> the name or position from 1 that the user chose.
        has_header: Whether the names of `columns` come from the file.
        required: Canonical columns of the task that the data is for, with their types; None if no task was named.

    Raises:
        DataRejected: A request is invalid, a required column is missing, or the target of measurements is not known.
    """
    unknown = sorted(set(requested) - CANONICAL_COLUMNS.keys() - {"shape"})
    if unknown:
        expected = ", ".join([*CANONICAL_COLUMNS, "shape"])
        raise DataRejected("invalid_columns", actual=", ".join(unknown), expected=expected)
    query = ColumnQuery(columns, requested, required, has_header)
    if has_images(query):
        return detect_image_layout(query)
    if has_measurements(query):
        return detect_record_layout(query)
    return _apply_rules(query)


def _apply_rules(query: ColumnQuery) -> Layout:
    usual: tuple[str, ...] = ("text", "target", "label")
    if any(map(is_audio, query.columns)):
        usual = ("audio", "text", "speaker")
    elif query.required is None and _find_scored_pair(query) is not None:
        usual = ("text", "value")
    canonicals = tuple(dict.fromkeys([*(query.required or usual), *query.requested]))
    assigned: Assignment = {}
    is_text_guessed = is_label_guessed = False
    other_labels: tuple[int, ...] = ()
    for rule in RULES:
        detection = ColumnDetection(query, canonicals, assigned)
        if rule.applies(detection):
            is_text_guessed |= rule.assign is _assign_longest_text and len(detection.free_texts()) > 1
            if rule.assign is _assign_likely_label:
                is_label_guessed, other_labels = True, choose_label(query.columns, detection.free()).others
            changed = {**assigned, **rule.assign(detection)}
            assigned = {canonical: position for canonical, position in changed.items() if position is not None}
    query.check_complete([*(query.required or ("text",))], assigned)
    # The first column is the key by which copies are recognized: a prompt, because two prompts may have one answer.
    order = dict.fromkeys(["prompt", *canonicals])
    return Layout(
        {canonical: assigned[canonical] for canonical in order if canonical in assigned},
        joined=_find_joined(assigned),
        is_text_guessed=is_text_guessed,
        is_label_guessed=is_label_guessed,
        other_labels=other_labels,
    )


def _assign_joined(canonical: str, positions: Sequence[int]) -> Assignment:
    """Assign one column, or several whose texts are joined."""
    first, *others = positions
    return {canonical: first, **{f"{canonical}+{number}": position for number, position in enumerate(others, start=1)}}


def _find_joined(assigned: Assignment) -> dict[str, tuple[int, ...]]:
    positions: dict[str, list[int]] = {}
    for name, position in assigned.items():
        positions.setdefault(name.partition("+")[0], []).append(position)
    return {canonical: tuple(several) for canonical, several in positions.items() if len(several) > 1}


def _assign_requests(detection: ColumnDetection) -> Assignment:
    query = detection.query
    assigned: dict[str, int] = {}
    for canonical, column in query.requested.items():
        is_text = CANONICAL_COLUMNS[canonical] == "text"
        assigned |= _assign_joined(canonical, query.positions(column) if is_text else [query.position(column)])
    return assigned


def _assign_by_name(detection: ColumnDetection) -> Assignment:
    assigned = dict(detection.assigned)
    for canonical in detection.canonicals:
        position = detection.query.position_by_alias(canonical)
        is_free = position is not None and position not in assigned.values()
        if position is not None and is_free and canonical == "text" and detection.query.columns[position].is_constant:
            continue  # one cell for all rows says where they are from
        if canonical not in assigned and position is not None and is_free:
            assigned[canonical] = position
    return assigned


def _has_written_label(detection: ColumnDetection) -> bool:
    """Return whether the label is a number that another column writes out."""
    label, query = detection.assigned.get("label"), detection.query
    if label is None or "label" in query.requested or query.columns[label].kind != "number":
        return False
    written = query.position_by_names(WRITTEN_LABEL_NAMES)
    return written is not None and written in detection.free() and query.columns[written].kind == "text"


def _assign_written_label(detection: ColumnDetection) -> Mapping[str, int | None]:
    return {"label": detection.query.position_by_names(WRITTEN_LABEL_NAMES)}


def _has_target(detection: ColumnDetection) -> bool:
    return "target" in detection.canonicals


def _assign_languages(detection: ColumnDetection) -> Assignment:
    """Assign the languages of a translation to text and target, in the file's order."""
    columns, assigned = detection.query.columns, detection.assigned
    languages = [index for index, column in enumerate(columns) if column.name.startswith(f"{TRANSLATION}.")]
    if len(languages) < 2:
        return {}
    free = [position for position in languages if position not in assigned.values()]
    sides = [canonical for canonical in ("text", "target") if assigned.get(canonical) not in languages]
    return dict(zip(sides, free, strict=False))


def _may_have_prompt(detection: ColumnDetection) -> bool:
    """Return whether a column is surely the text that a prompt may precede."""
    required = detection.query.required
    if "text" not in detection.assigned or "prompt" in detection.assigned:
        return False
    return required is None or required.keys() == {"text"}


def _assign_prompt(detection: ColumnDetection) -> Assignment:
    position = detection.query.position_by_alias("prompt")
    return {} if position is None or position in detection.assigned.values() else {"prompt": position}


def _has_asked_prompt(detection: ColumnDetection) -> bool:
    """Return whether the prompt was detected by its name, and may be learned from."""
    assigned, query = detection.assigned, detection.query
    if not {"text", "prompt"} <= assigned.keys() or "prompt" in query.requested:
        return False
    is_instruction = query.lower_names[assigned["prompt"]] in ("instruction", "question") and not _is_judged(detection)
    has_answer = query.position_by_names(ANSWER_NAMES) is not None
    return "label" not in assigned or (is_instruction and has_answer and "label" not in query.requested)


def _assign_prompt_parts(detection: ColumnDetection) -> Mapping[str, int | None]:
    """Join system, instruction and input to the prompt; the answer is the text.

    A category of instructions is no label.
    """
    query, assigned = detection.query, detection.assigned
    answer = None if "text" in query.requested else query.position_by_names(ANSWER_NAMES)
    text = assigned["text"] if answer is None or answer == assigned["prompt"] else answer
    used = {assigned["prompt"], text}
    system, context = query.position_by_names(SYSTEM_NAMES), query.position_by_names(CONTEXT_NAMES)
    parts = [position for position in (system, assigned["prompt"], context) if position is not None]
    parts = [
        position
        for position in dict.fromkeys(parts)
        if position == assigned["prompt"] or (position not in used and query.columns[position].kind in _WORDS)
    ]
    return {"text": text, "label": None, **_assign_joined("prompt", parts)}


class _ScoredPair(NamedTuple):
    """Positions of two texts, and of a number that says how alike they are."""

    texts: tuple[int, int]
    score: int


def _find_scored_pair(query: ColumnQuery) -> _ScoredPair | None:
    """Return two texts with a measured score, as in STS-B.

    There are none beside a column that judges them by classes. Without column names they are the only two columns of
    sentences and the only one of fractions.
    """
    if query.requested.keys() & {"text", "value", "label", "target"}:
        return None
    columns, names = query.columns, query.lower_names
    if not query.has_header:
        texts = [index for index, column in enumerate(columns) if column.is_distinct and _holds_sentences(column)]
        scores = [index for index, column in enumerate(columns) if column.has_fractions]
        return _ScoredPair((texts[0], texts[1]), scores[0]) if (len(texts), len(scores)) == (2, 1) else None
    score = next((names.index(name) for name in SCORE_NAMES if name in names), None)
    if score is None or columns[score].kind != "number" or not columns[score].is_measured:
        return None
    if any(_JUDGMENT.search(name) for name in names):
        return None
    pairs = (pair for pair in find_pairs(names) if all(_holds_words(columns[position]) for position in pair))
    pair = next(pairs, None)
    if pair and not query.required and names[pair[1]] in ANSWER_NAMES and names[score] not in SIMILARITY_NAMES:
        return None  # rather a prompt and what answers it, with the votes for it
    return _ScoredPair(pair, score) if pair else None


def _is_scored_pair(detection: ColumnDetection) -> bool:
    required = detection.required
    is_wanted = not required or required.keys() == {"text", "value"}
    return is_wanted and _find_scored_pair(detection.query) is not None


def _assign_scored_pair(detection: ColumnDetection) -> Assignment:
    pair = _find_scored_pair(detection.query)
    return {} if pair is None else {**_assign_joined("text", pair.texts), "value": pair.score}


def _is_numbered_class_first(detection: ColumnDetection) -> bool:
    """Return whether texts stand behind the number of their class, without column names.

    So AG News, DBpedia and Yahoo! Answers are published.
    """
    query = detection.query
    if query.has_header or query.requested or len(query.columns) < 3 or "label" not in detection.canonicals:
        return False
    if query.required is not None and query.required.keys() != {"text", "label"}:
        return False
    first, *others = query.columns
    is_class = first.kind == "number" and first.repeats_values and not first.has_fractions
    return is_class and all(column.kind == "text" and not column.repeats_values for column in others)


def _assign_numbered_class_first(detection: ColumnDetection) -> Assignment:
    return {**_assign_joined("text", range(1, len(detection.query.columns))), "label": 0}


def _may_be_pair(detection: ColumnDetection) -> bool:
    query = detection.query
    if "label" not in detection.canonicals or "text" in query.requested or not query.has_header:
        return False
    if "label" not in detection.required and "label" not in detection.assigned:
        return False
    return bool(_free_pair(detection))


def _free_pair(detection: ColumnDetection) -> list[int]:
    """Return the positions of two texts that are judged together; empty without any."""
    used = {position for canonical, position in detection.assigned.items() if canonical != "text"}
    columns, names = detection.query.columns, detection.query.lower_names
    for pair in find_pairs(names):
        if not detection.required and names[pair[1]] in ANSWER_NAMES and not _is_judged(detection):
            return []  # rather a prompt and what answers it
        if all(position not in used and _holds_words(columns[position]) for position in pair):
            return list(pair)
    return []


def _holds_words(column: CellColumn) -> bool:
    """Return whether a column holds texts, rather than the names of where they come from."""
    return column.kind == "text" and not column.repeats_values


def _is_judged(detection: ColumnDetection) -> bool:
    """Return whether the label has a name of a judgment, rather than of a topic."""
    label = detection.assigned.get("label")
    return label is not None and detection.query.lower_names[label] in JUDGMENT_NAMES


def _assign_pair(detection: ColumnDetection) -> Assignment:
    return _assign_joined("text", _free_pair(detection))


def _are_two_sentences(detection: ColumnDetection) -> bool:
    """Return whether the table is two columns of distinct sentences without a label."""
    if detection.query.required is not None or not detection.is_open("text") or not detection.is_open("target"):
        return False
    free = [detection.query.columns[position] for position in detection.free()]
    is_labeled = "label" in detection.assigned
    if len(free) != 2 or is_labeled:
        return False
    are_long = all(column.is_distinct and _holds_sentences(column) for column in free)
    # The first sentences of Tatoeba have one word, and repeat: `Go.`, `Hi.`
    return are_long or all(column.ends_like_sentences and _holds_words(column) for column in free)


def _assign_two_sentences(detection: ColumnDetection) -> Assignment:
    text, target = detection.free()
    return {"text": text, "target": target}


def _is_target_a_label(detection: ColumnDetection) -> bool:
    """Return whether a column called `target` holds classes rather than sentences."""
    if detection.query.required is not None or "target" in detection.query.requested:
        return False
    target = detection.assigned.get("target")
    if target is None or detection.query.columns[target].name.startswith(f"{TRANSLATION}."):
        return False
    return not _holds_sentences(detection.query.columns[target])


def _relabel_target(detection: ColumnDetection) -> Mapping[str, int | None]:
    query, target = detection.query, detection.assigned["target"]
    written = query.position_by_names(WRITTEN_LABEL_NAMES) if query.columns[target].kind == "number" else None
    return {"label": detection.assigned.get("label", target if written is None else written), "target": None}


def _can_assign_first_text(detection: ColumnDetection) -> bool:
    return _can_assign_text(detection) and "target" in detection.required and "target" not in detection.assigned


def _can_assign_text(detection: ColumnDetection) -> bool:
    return detection.is_open("text") and bool(detection.free_texts())


def _assign_first_text(detection: ColumnDetection) -> Assignment:
    return {"text": detection.free_texts()[0]}


def _assign_longest_text(detection: ColumnDetection) -> Assignment:
    columns = detection.query.columns
    return {"text": max(detection.free_texts(), key=lambda index: columns[index].mean_characters)}


def _can_assign_target(detection: ColumnDetection) -> bool:
    return "target" in detection.required and detection.is_open("target") and bool(detection.free())


def _assign_target(detection: ColumnDetection) -> Assignment:
    return {"target": detection.free()[0]}


def _has_likely_labels(detection: ColumnDetection) -> bool:
    """Return whether columns beside a text hold classes.

    Several repeat few values, or one has a usual name of classes.
    """
    assigned, query = detection.assigned, detection.query
    if not detection.is_open("label") or "text" not in assigned or assigned.keys() & {"target", "prompt"}:
        return False
    if "text" in query.requested and not detection.required:
        return False  # the text alone is requested
    choice = choose_label(query.columns, detection.free())
    return len(detection.free()) > 1 and (choice.position is not None or bool(choice.others))


def _assign_likely_label(detection: ColumnDetection) -> Assignment:
    """Assign the likeliest label; raises `DataRejected` if several columns are equally likely."""
    query = detection.query
    choice = choose_label(query.columns, detection.free())
    if choice.position is None:
        listed = ", ".join(query.names[index] for index in choice.others[:MAX_LISTED_NAMES])
        text = query.names[detection.assigned["text"]]
        raise DataRejected("label_not_named", actual=listed, expected=f"one of them as the label of {text}")
    return {"label": choice.position}


def _is_last_free_a_target(detection: ColumnDetection) -> bool:
    column = detection.last_free()
    return detection.query.required is None and column is not None and column.is_distinct and _holds_sentences(column)


def _can_assign_label(detection: ColumnDetection) -> bool:
    return detection.last_free() is not None


def _assign_label(detection: ColumnDetection) -> Assignment:
    return {"label": detection.free()[0]}


def _can_assign_value(detection: ColumnDetection) -> bool:
    return "value" in detection.required and detection.is_open("value") and _choose_value(detection) is not None


def _choose_value(detection: ColumnDetection) -> int | None:
    """Return the position of a number to predict, by name or as the only one."""
    query = detection.query
    # Not of `free`, which takes numbers that all differ for those of the rows.
    numbers = [
        position
        for position, column in enumerate(query.columns)
        if column.kind == "number"
        and position not in detection.assigned.values()
        and not NON_DATA_NAME.fullmatch(column.name.strip())
    ]
    named = choose_outcome(query.columns, numbers).position if query.has_header else None
    return named if named is not None or len(numbers) != 1 else numbers[0]


def _assign_value(detection: ColumnDetection) -> Mapping[str, int | None]:
    return {"value": _choose_value(detection)}


def _holds_sentences(column: CellColumn) -> bool:
    """Return whether cells are sentences rather than classes of a word or number."""
    return column.kind == "text" and column.mean_characters > MAX_LABEL_CHARACTERS


#: Rules for tables without images, in the order in which they are applied.
RULES: Final = (
    DetectionRule("chosen by the user", lambda detection: bool(detection.query.requested), _assign_requests),
    DetectionRule("texts with a score of both", _is_scored_pair, _assign_scored_pair),
    DetectionRule("number of a class before its texts", _is_numbered_class_first, _assign_numbered_class_first),
    DetectionRule("usual column name", lambda detection: detection.query.has_header, _assign_by_name),
    DetectionRule("names of coded classes", _has_written_label, _assign_written_label),
    DetectionRule("languages of a translation", _has_target, _assign_languages),
    DetectionRule("two texts to be judged together", _may_be_pair, _assign_pair),
    DetectionRule("prompt before a text", _may_have_prompt, _assign_prompt),
    DetectionRule("system and input are part of the prompt", _has_asked_prompt, _assign_prompt_parts),
    DetectionRule("target column of class names is the label", _is_target_a_label, _relabel_target),
    DetectionRule("first text if a target is required too", _can_assign_first_text, _assign_first_text),
    DetectionRule("two columns of distinct sentences in their order", _are_two_sentences, _assign_two_sentences),
    DetectionRule("longest text", _can_assign_text, _assign_longest_text),
    DetectionRule("first free column is the required target", _can_assign_target, _assign_target),
    DetectionRule("number to predict", _can_assign_value, _assign_value),
    DetectionRule("column of classes beside a text", _has_likely_labels, _assign_likely_label),
    DetectionRule("two texts beside such a column", _may_be_pair, _assign_pair),
    DetectionRule("last free column of distinct sentences is the target", _is_last_free_a_target, _assign_target),
    DetectionRule("last free column is the label", _can_assign_label, _assign_label),
)
