"""Choice of the column to predict where none has a usual name of a label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ml.data.tables.column_aliases import NON_DATA_NAME, plain_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.tables.layout import CellColumn

#: Names of classes of texts and things, the likeliest first.
CLASS_NAMES: Final = (
    *(
        "finding_labels",
        "finding_label",
        "finding",
        "intent",
        "topic",
        "emotion",
        "stance",
        "verdict",
        "species",
        "variety",
        "cultivar",
        "genre",
        "diagnosis",
    ),
    *("decision", "group", "ticket_type", "issue_type", "request_type", "type", "kind", "queue", "department", "team"),
    *("tag", "quality", "stars", "star_rating", "rating", "overall", "review_score", "severity", "priority"),
    *("urgency", "status", "spam", "is_spam", "is_sarcastic", "klasse", "kategorie", "classe", "categorie"),
    *("catégorie", "clase", "categoria", "categoría"),
)
#: Names of what is predicted from measurements, the likeliest first: outcomes of cases, then amounts.
OUTCOME_NAMES: Final = (
    *("survived", "transported", "churn", "churned", "exited", "attrition", "left", "converted", "purchased"),
    *("bought", "subscribed", "deposit", "clicked", "default", "defaulted", "default_payment_next_month"),
    *("loan_status", "approved", "is_approved", "loan_approved", "is_fraud", "fraud", "is_canceled", "canceled"),
    *("outcome", "result", "heart_disease", "disease", "stroke", "diabetes", "potability", "readmitted", "passed"),
    *("failure", "machine_failure", "cover_type", "price_range", "sale_price", "selling_price", "final_price"),
    *("house_price", "median_house_value", "med_house_val", "medv", "price", "msrp", "rent", "charges", "salary"),
    *("wage", "income", "revenue", "sales", "profit", "cost", "demand", "cnt", "count", "consumption", "mpg", "tip"),
    *("strength", "yield", "rings", "final_grade", "g3", "grade", "exam_score", "score", "preis", "prix", "precio"),
)
#: Names of columns that say where, when or by whom a row was made, rather than what it is.
_DETAIL_NAME: Final = re.compile(
    r"source|domain|site|publisher|publication|lang|language|locale|country|city|state|region|date|time|timestamp|year"
    r"|month|day|hour|licen[sc]e|author|user|username|speaker|annotator|worker|version|encoding|format|platform|device"
    r"|sex|gender|age|name|brand|model|dataset|subset|meta|metadata|url|n?_?tokens?|length|words?|\w+_(id|count|length)"
    r"|(num|n|number_of|count_of)_\w+",
    re.IGNORECASE,
)
#: Mean length of the cells of a label.
MAX_LABEL_CHARACTERS: Final = 24


@dataclass(frozen=True, slots=True)
class TargetChoice:
    """Position of the column to predict, and those of others that may be meant.

    The position is None if the column has to be named.
    """

    position: int | None
    others: tuple[int, ...] = ()


def choose_label(columns: Sequence[CellColumn], free: Sequence[int]) -> TargetChoice:
    """Choose the label of a text among the columns at `free`.

    It has a usual name of a class, or is the only one that repeats few short values. Several of these, none with a
    usual name, are listed without a choice.
    """
    candidates = [index for index in free if may_be_label(columns[index])]
    named = _by_rank(columns, [index for index in free if _is_short(columns[index])], CLASS_NAMES)
    if named or len(candidates) == 1:
        first = (named or candidates)[0]
        return TargetChoice(first, tuple(index for index in dict.fromkeys((*named, *candidates)) if index != first))
    return TargetChoice(None, tuple(candidates))


def choose_outcome(columns: Sequence[CellColumn], free: Sequence[int]) -> TargetChoice:
    """Choose what to predict from measurements, among the columns at `free`.

    It has a usual name of an outcome, an amount or a class; the last column has precedence over others.
    """
    named = _by_rank(columns, free, (*OUTCOME_NAMES, *CLASS_NAMES))
    first = free[-1] if free and free[-1] in named else next(iter(named), None)
    return TargetChoice(first, tuple(index for index in named if index != first))


def may_be_label(column: CellColumn) -> bool:
    """Return whether a column repeats few short values, as labels do.

    Columns whose names say where or when a row was made do not count.
    """
    name = column.name.strip()
    is_detail = NON_DATA_NAME.fullmatch(name) or _DETAIL_NAME.fullmatch(plain_name(name))
    return column.repeats_values and not column.is_constant and _is_short(column) and not is_detail


def _is_short(column: CellColumn) -> bool:
    is_cell = column.kind == "text" or (column.kind == "number" and not column.is_measured)
    return is_cell and not column.is_reference and column.mean_characters <= MAX_LABEL_CHARACTERS


def _by_rank(columns: Sequence[CellColumn], positions: Sequence[int], names: Sequence[str]) -> list[int]:
    """Return the positions whose columns have one of `names`, in the order of these."""
    ranks = {index: names.index(name) for index in positions if (name := plain_name(columns[index].name)) in names}
    return sorted(ranks, key=lambda index: ranks[index])
