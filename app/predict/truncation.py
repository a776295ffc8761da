"""Header of the texts that were cut, for answers without a place for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Header with `index=kept/of` for each input that was cut, in tokens.
HEADER: Final = "X-Truncated"
MAX_LISTED_INPUTS: Final = 50


def truncation_headers(outputs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the header that lists the inputs that were cut; empty if none was."""
    cut = [(index, output["truncated"]) for index, output in enumerate(outputs) if output.get("truncated")]
    if not cut:
        return {}
    listed = [f"{index}={fields['kept']}/{fields['of']}" for index, fields in cut[:MAX_LISTED_INPUTS]]
    return {HEADER: ", ".join([*listed, *(["..."] if len(cut) > MAX_LISTED_INPUTS else [])])}
