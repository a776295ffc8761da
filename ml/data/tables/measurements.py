"""Detection of the features and the target in a table of measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ml.data.issues import DataRejected
from ml.data.tables.column_aliases import ALIASES, FOLD_NAME, NON_DATA_NAME, find_pairs
from ml.data.tables.image_columns import is_audio
from ml.data.tables.layout import FEATURES, MAX_LISTED_NAMES, CellColumn, ColumnQuery, Layout
from ml.data.tables.target_columns import TargetChoice, choose_outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A text column of longer cells holds sentences rather than class names.
MAX_LABEL_CHARACTERS: Final = 12
#: Names of classes in a last column without other texts may be longer.
_MAX_NAME_CHARACTERS: Final = 24
#: From this number of columns with numbers on, a table without a named text holds measurements.
MIN_MEASUREMENTS: Final = 4
#: From this number on it does if its texts are names of classes as well.
MIN_MEASUREMENTS_BESIDE_CLASSES: Final = 2
#: From this number of columns with numbers or names of classes on, it does as well.
MIN_FEATURES: Final = 3
#: Targets: the class of a row, or a number.
LABEL: Final = "label"
VALUE: Final = "value"
_TARGETS: Final = (LABEL, VALUE, "target")
#: Columns of a table that has nothing but x and y.
_COLUMNS_OF_A_CURVE: Final = 2


def has_measurements(query: ColumnQuery) -> bool:
    """Return whether the table is one of measurements.

    The task or the request says so; or nothing else can be learned from. A text that is requested, or that has a usual
    name, is something to learn from.
    """
    if query.required is not None:
        return FEATURES in query.required
    if query.requested.keys() & {FEATURES, VALUE}:
        return True
    if query.requested.keys() & {"text", "audio", "prompt"} or any(map(is_audio, query.columns)):
        return False
    if "target" in query.requested and query.columns[query.position(query.requested["target"])].kind != "number":
        return False
    if any(_has_text_named(query, canonical) for canonical in ("text", "audio", "prompt")) or _has_pair(query):
        return False
    return _holds_measurements(query)


def detect_record_layout(query: ColumnQuery) -> Layout:
    """Assign the target, and all other columns as features, unless some are requested.

    Raises `DataRejected` if the target is not known.
    """
    choice, is_guessed = _choose_target(query)
    position = choice.position
    assert position is not None, "a table without a target is rejected"
    canonical = _target_kind(query, position)
    positions = _feature_positions(query, position)
    if not positions:
        raise DataRejected("no_features", actual=f"no column beside {query.names[position]}")
    return Layout(
        {FEATURES: positions[0], canonical: position},
        joined={FEATURES: positions},
        record_names=_unique_names([query.names[index] for index in positions], positions),
        is_label_guessed=is_guessed,
        other_labels=choice.others,
    )


def _has_text_named(query: ColumnQuery, canonical: str) -> bool:
    position = query.position_by_alias(canonical)
    return position is not None and query.columns[position].kind != "number"


def _has_pair(query: ColumnQuery) -> bool:
    pairs = find_pairs(query.lower_names) if query.has_header else ()
    return any(query.columns[first].kind == query.columns[second].kind == "text" for first, second in pairs)


def _holds_measurements(query: ColumnQuery) -> bool:
    label = query.position_of(LABEL)
    others = [column for index, column in enumerate(query.columns) if index != label and not _is_row_number(column)]
    numbers = [column for column in others if column.kind == "number"]
    texts = [column for column in others if column.kind == "text" and not column.is_reference]
    if len(numbers) >= MIN_MEASUREMENTS or (numbers and not texts):
        return True
    if any(text.mean_characters > MAX_LABEL_CHARACTERS for text in texts):
        return False
    # Short texts that all differ are names or ids of the rows.
    features = len(numbers) + sum(map(_holds_classes, texts))
    if label is not None and query.columns[label].is_measured:
        return features > 0
    return len(numbers) >= MIN_MEASUREMENTS_BESIDE_CLASSES or features >= MIN_FEATURES


def _is_row_number(column: CellColumn) -> bool:
    return NON_DATA_NAME.fullmatch(column.name.strip()) is not None


def _holds_classes(column: CellColumn) -> bool:
    return column.kind == "text" and not column.is_distinct and column.mean_characters <= MAX_LABEL_CHARACTERS


def _choose_target(query: ColumnQuery) -> tuple[TargetChoice, bool]:
    """Return the column to predict, and whether it was guessed.

    It is requested, has a usual name, or is the only column with names of classes and the last. Elsewhere such a column
    may be a feature, as the city of a house is.
    """
    for canonical in _TARGETS:
        if canonical in query.requested:
            return TargetChoice(query.position(query.requested[canonical])), False
    is_number_required = query.required is not None and VALUE in query.required
    for canonical in (VALUE, LABEL) if is_number_required else (LABEL, VALUE):
        position = query.position_by_alias(canonical)
        if position is not None and not _is_coordinate(query, position):
            return TargetChoice(position), False
    free = [
        index
        for index, column in enumerate(query.columns)
        if column.kind != "other" and not (is_number_required and column.kind != "number")
    ]
    choice = choose_outcome(query.columns, free) if query.has_header else TargetChoice(None)
    if choice.position is not None:
        return choice, True
    classes = [
        index
        for index, column in enumerate(query.columns)
        if (_holds_classes(column) or _is_last_text(query, index)) and column.mean_characters
        if not _is_row_number(column)
    ]
    if len(classes) == 1 and classes[0] == len(query.columns) - 1 and not is_number_required:
        return TargetChoice(classes[0]), True
    if not query.has_header and not is_number_required and (target := _find_unnamed_class(query.columns)) is not None:
        return TargetChoice(target, tuple(index for index in classes if index != target)), True
    listed = ", ".join(query.names[:MAX_LISTED_NAMES]) + (", ..." if len(query.names) > MAX_LISTED_NAMES else "")
    aliases = ", ".join(ALIASES[VALUE if is_number_required else LABEL][:4])
    raise DataRejected("target_not_named", actual=f"columns {listed}", expected=f"a column named {aliases}")


def _find_unnamed_class(columns: Sequence[CellColumn]) -> int | None:
    """Return the first or last column of a table without names, if it holds classes.

    None if neither repeats few short values, or if both do.
    """
    last = len(columns) - 1
    ends = [index for index in (last, 0) if _repeats_classes(columns[index])]
    is_named = columns[last].kind == "text" and columns[0].kind != "text"
    if last in ends and (is_named or len(ends) == 1):
        return last
    measured = sum(column.has_fractions for column in columns)
    # What comes first may name a sensor or a user, unless most others are measured, and at no time.
    is_log = last < MIN_MEASUREMENTS or any(column.is_reference for column in columns)
    return 0 if ends == [0] and not is_log and 2 * measured > last else None


def _repeats_classes(column: CellColumn) -> bool:
    is_short = column.mean_characters <= _MAX_NAME_CHARACTERS
    return column.repeats_values and not column.is_constant and not column.has_fractions and is_short


def _is_last_text(query: ColumnQuery, index: int) -> bool:
    """Return whether the last column holds names of classes, such as Iris-versicolor."""
    column = query.columns[index]
    is_last = index == len(query.columns) - 1
    return (
        is_last and column.kind == "text" and column.repeats_values and column.mean_characters <= _MAX_NAME_CHARACTERS
    )


def _is_coordinate(query: ColumnQuery, position: int) -> bool:
    """Return whether a column is the y of a place.

    An x and more columns stand beside it.
    """
    names = query.lower_names
    return names[position] == "y" and "x" in names and len(names) > _COLUMNS_OF_A_CURVE


def _target_kind(query: ColumnQuery, position: int) -> str:
    """Return the canonical column of the target: that of the task, else by its cells."""
    if query.required is not None:
        return VALUE if VALUE in query.required else LABEL
    if VALUE in query.requested:
        return VALUE
    column = query.columns[position]
    return VALUE if column.kind == "number" and column.is_measured else LABEL


def _feature_positions(query: ColumnQuery, target: int) -> tuple[int, ...]:
    if FEATURES in query.requested:
        return tuple(index for index in query.positions(query.requested[FEATURES]) if index != target)
    return tuple(
        index
        for index, column in enumerate(query.columns)
        if index != target and column.kind != "image" and not column.is_membership and not _is_fold(column)
    )


def _is_fold(column: CellColumn) -> bool:
    """Return whether a column divides the rows for cross-validation, which says nothing about them."""
    return column.repeats_values and FOLD_NAME.fullmatch(column.name.strip()) is not None


def _unique_names(names: Sequence[str], positions: Sequence[int]) -> tuple[str, ...]:
    """Return names that differ: a repeated one gets its position, as an empty one does."""
    unique: list[str] = []
    for name, position in zip(names, positions, strict=True):
        plain = name.strip() or str(position + 1)
        unique.append(plain if plain not in unique else f"{plain}.{position + 1}")
    return tuple(unique)
