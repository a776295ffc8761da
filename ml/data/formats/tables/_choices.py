"""Questions with choices: the number, character or key of the right one becomes its text.

MMLU, ARC, HellaSwag, PIQA, SWAG, RACE, COPA, MedMCQA and WinoGrande are published so, with the choices in one column
or in a column each.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from ml.data.tables.column_aliases import plain_name
from ml.data.tables.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.tables.layout import CellColumn

#: Names of a column that holds all choices.
_LIST_NAMES: Final = ("choices", "options", "endings", "answers", "candidates", "candidate_answers", "answer_choices")
#: Names of columns with a single choice, without their character or number.
_STEMS: Final = re.compile(
    r"(|op|opt|options?|choices?|answers?|endings?|sol|solution|candidate|alternative)_?(?P<sign>[a-j]|\d)"
)
#: Names of a column that says which choice is right, the likeliest first.
_ANSWER_NAMES: Final = (
    *("answer_key", "answer_idx", "answer_index", "correct_option", "correct_choice", "correct_answer", "cop"),
    *("correct_index", "correct", "answer", "label", "gold", "target", "ans", "answer_right_ending", "right_answer"),
)
#: Names of what a question is about, and of the question, each in the order of the prompt.
_CONTEXT_NAMES: Final = ("article", "passage", "context", "story", "support", "premise", "input_sentence_1")
_QUESTION_NAMES: Final = (
    *("question", "question_stem", "stem", "query", "problem", "goal", "ctx", "prompt", "startphrase", "sentence"),
    *("text", "input", "instruction"),
)
_LETTERS: Final = "ABCDEFGHIJ"
#: Mean length from which a text without a name may be a question.
_MIN_QUESTION_CHARACTERS: Final = 24
#: A character before a choice in a list: `A) 21`.
_LETTERED: Final = re.compile(r"\(?([A-J])[).:]\s*(?=\S)")
#: A question, two choices and the character of the right one.
_MIN_UNNAMED_COLUMNS: Final = 4
_MAX_CELL_CHARACTERS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Choices:
    """Positions of the columns of questions, their choices and the right ones."""

    questions: tuple[int, ...]
    options: tuple[int, ...]
    answer: int
    #: Number of the first choice.
    base: int

    @property
    def numbering(self) -> str:
        """Names of choices in answers, in words."""
        return f"choices are counted from {self.base}, where numbers name them"

    def layout(self) -> Layout:
        """Return the layout that reads them: a prompt, and the text that answers it."""
        prompt = (*self.questions, *self.options)
        return Layout({"prompt": prompt[0], "text": self.answer}, joined={"prompt": prompt}, choices=self)

    def cells(self, by_position: Mapping[int, Sequence[Any]]) -> dict[str, Sequence[Any]]:
        """Return prompts and right answers of N rows.

        The answer of a row that names none of its choices is empty.
        """
        prompts, texts = [], []
        for row, answer in enumerate(by_position[self.answer]):
            keyed = self.read_options([by_position[position][row] for position in self.options])
            lines = [f"{_LETTERS[number]}. {text}" for number, text in enumerate(keyed.values())]
            questions = [str(by_position[position][row] or "").strip() for position in self.questions]
            prompts.append("\n\n".join(filter(None, [*questions, "\n".join(lines)])))
            texts.append(_resolve(answer, keyed, self.base) or "")
        return {"prompt": prompts, "text": texts}

    def read_options(self, cells: Sequence[Any]) -> dict[str, str]:
        """Return the choices of one row by character or key."""
        if len(self.options) == 1:
            return _parse_options(cells[0])
        return dict(zip(_LETTERS, ["" if cell is None else str(cell).strip() for cell in cells], strict=False))


def find_choices(
    columns: Sequence[CellColumn],
    samples: Sequence[Sequence[Any]],
    *,
    has_header: bool,
    required: Mapping[str, str] | None,
) -> Choices | None:
    """Return questions with choices; None without them, or if no column names the right one.

    `samples` are the first cells of each column.
    """
    if (required is not None and required.keys() != {"text"}) or not samples or not samples[0]:
        return None
    if not has_header:
        return _find_unnamed(columns, samples)
    names = [plain_name(column.name) for column in columns]
    answers = [names.index(name) for name in _ANSWER_NAMES if name in names]
    questions = _find_questions(names)
    for options in _find_options(names, samples):
        for answer in answers:
            used = tuple(position for position in questions if position != answer and position not in options)
            is_worded = any(columns[position].kind == "text" for position in used)
            is_measured = len(options) > 1 and all(columns[position].kind == "number" for position in options)
            if answer in options or not is_worded or is_measured:
                continue
            base = _find_base(Choices(used, options, answer, 0), samples)
            if base is not None:
                return Choices(used, options, answer, base)
    return None


def _find_questions(names: Sequence[str]) -> list[int]:
    """Return the positions of what a question is about, and of the question."""
    contexts = [names.index(name) for name in _CONTEXT_NAMES if name in names]
    question = next((names.index(name) for name in _QUESTION_NAMES if name in names), None)
    first, second = ("sent1", "sent2")  # SWAG's sentence and the beginning of the next one
    if first in names and second in names:
        return [names.index(first), names.index(second)]
    return [*contexts[:1], *([] if question is None else [question])]


def _find_options(names: Sequence[str], samples: Sequence[Sequence[Any]]) -> list[tuple[int, ...]]:
    """Return the columns that may hold choices: all in a column, or several columns."""
    lists = [names.index(name) for name in _LIST_NAMES if name in names]
    candidates: list[tuple[int, ...]] = [
        (position,)
        for position in lists
        if samples[position] and all(len(_parse_options(cell)) > 1 for cell in samples[position] if cell is not None)
    ]
    by_stem: dict[str, dict[str, int]] = {}
    for position, name in enumerate(names):
        if match := _STEMS.fullmatch(name):
            by_stem.setdefault(name[: match.start("sign")], {})[match["sign"]] = position
    for stem, by_sign in by_stem.items():
        for signs in ("abcdefghij", "0123456789", "123456789"):
            run = [by_sign[sign] for sign in takewhile(by_sign.__contains__, signs)]
            if len(run) > (1 if stem else 2):
                candidates.append(tuple(run))
                break
    return candidates


def _find_unnamed(columns: Sequence[CellColumn], samples: Sequence[Sequence[Any]]) -> Choices | None:
    """Return a question, its choices and a character in a table without names, as MMLU's."""
    if len(columns) < _MIN_UNNAMED_COLUMNS:
        return None
    *options, last = range(1, len(columns))
    letters = {str(cell).strip() for cell in samples[last]}
    is_question = columns[0].kind == "text" and columns[0].mean_characters >= _MIN_QUESTION_CHARACTERS
    if not is_question or not letters <= set(_LETTERS[: len(options)]):
        return None
    return Choices((0,), tuple(options), last, 0)


def _find_base(choices: Choices, samples: Sequence[Sequence[Any]]) -> int | None:
    """Return the number of the first choice; None if answers name no choices."""
    rows = [
        (answer, choices.read_options([samples[position][row] for position in choices.options]))
        for row, answer in enumerate(samples[choices.answer])
        if answer is not None and str(answer).strip() not in ("", "-1")
    ]
    bases = (0, 1) if any(str(answer).strip() == "0" for answer, _ in rows) else (1, 0)
    for base in bases:
        if rows and all(_resolve(answer, keyed, base) is not None for answer, keyed in rows):
            return base
    return None


def _resolve(answer: Any, keyed: Mapping[str, str], base: int) -> str | None:
    """Return the text of the right choice; None if there is no such choice."""
    name, texts = str(answer).strip(), list(keyed.values())
    if isinstance(answer, bool) or not name:
        return None
    if name in texts:
        return name
    number = name.removesuffix(".0")
    if name in keyed or number in keyed:
        return keyed.get(name, keyed.get(number)) or None
    if len(name) == 1 and name.upper() in _LETTERS:
        index = _LETTERS.index(name.upper())
    elif number.isdecimal():
        index = int(number) - base
    else:
        return None
    return texts[index] or None if 0 <= index < len(texts) else None


def _parse_options(cell: Any) -> dict[str, str]:
    """Return the choices by character or key; empty for anything else.

    They are a list of texts, or of objects with key and text, an object of lists, or one of texts by key; also as JSON
    or as Python prints it.
    """
    value = _parse_literal(cell) if isinstance(cell, str) else cell
    if isinstance(value, dict):
        texts, keys = value.get("text"), value.get("label", value.get("para"))
        if isinstance(texts, list) and isinstance(keys, list) and len(texts) == len(keys):
            return dict(zip(map(str, keys), map(str, texts), strict=True))
        are_texts = len(value) > 1 and all(isinstance(text, str) for text in value.values())
        return {str(key): str(text).strip() for key, text in value.items() if text} if are_texts else {}
    if not isinstance(value, list | tuple) or not value or len(value) > len(_LETTERS):
        return {}
    if all(isinstance(item, dict) and isinstance(item.get("text"), str) for item in value):
        keys = [str(item.get("label", item.get("key", letter))) for item, letter in zip(value, _LETTERS, strict=False)]
        return dict(zip(keys, [item["text"] for item in value], strict=True))
    if not all(isinstance(item, str | int | float) for item in value):
        return {}
    texts = [str(item).strip() for item in value]
    letters = [match[1] if (match := _LETTERED.match(text)) else "" for text in texts]
    if "".join(letters) == _LETTERS[: len(texts)]:
        texts = [_LETTERED.sub("", text, count=1) for text in texts]
    return dict(zip(_LETTERS, texts, strict=False))


def _parse_literal(cell: str) -> Any:
    text = cell.strip()
    if not text.startswith(("[", "{")) or len(text) > _MAX_CELL_CHARACTERS:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
