"""Values by column as numbers and codes.

For each of `numbers`: the value minus `mean` over `deviation`, from -8 to 8; its quantile from 0 to 1, interpolated
between `knots`; and 1 if it is missing, else 0. A missing value is 0, 0, 1. `part` of a date is the days since
1970-01-01, the day of the year, the weekday from 0 for Monday, or the hour. Then a code for each of `categories`: 0 for
an unknown one, 1 for a missing one, 2 for the first of `names`, and so on, plus the number of codes of the columns
before. The array is float32 [batch, 3 x numbers + categories].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ml.errors import InputError
from ml.preprocessing.record_encoding import RecordEncoding

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

#: Field of an input that a file fills; a record has several, so it must be JSON.
FIELD: Final = ""


def encode(inputs: list[dict[str, Any]], config: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:  # noqa: ARG001
    """Return `signal`, float32 [batch, 3 x numbers + categories]; raises `InputError` for unknown fields."""
    names = {column["name"] for column in (*config["numbers"], *config["categories"])}
    # Columns of the training data that are not read may be sent, too.
    accepted = names | config["detected_kinds"].keys() | config["kinds"].keys()
    for raw_input in inputs:
        if unknown := [name for name in raw_input if name not in accepted]:
            message = f"there is no field named {unknown[0]!r}; known: {', '.join(sorted(names))}"
            raise InputError(message, hint="Send JSON with a field for each column.")
    return {"signal": RecordEncoding(config).encode(inputs)}
