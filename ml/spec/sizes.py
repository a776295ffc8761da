"""Check of the nested sizes of a fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ml.spec.catalog import Catalog
    from ml.spec.schema import Finetune


def check_sizes(spec: Finetune, catalog: Catalog, architectures: Iterable[str]) -> Iterator[Finding]:
    """Yield why a fine-tuning cannot train these sizes together."""
    sizes = spec.sizes
    if sizes is None:
        return
    if 1 not in sizes or len(set(sizes)) < max(2, len(sizes)):
        message = "sizes are different fractions of the units of each layer, of which one is 1"
        yield Finding(
            code="invalid_option", message=message, path="sizes", expected="[1, 0.5, 0.25]", hint="Add 1 and one other."
        )
    names = [name for name in architectures if name in catalog.architectures]
    if names and not any(catalog.architectures[name].prunable for name in names):
        prunable = [name for name, entry in catalog.architectures.items() if entry.prunable]
        message = f"{', '.join(names)} has only one size: its widths are those of its features, which the head reads"
        hint = "A head cannot be sliced. Leave sizes out, or choose another architecture."
        yield Finding(code="does_not_fit", message=message, path="sizes", expected=", ".join(prunable), hint=hint)
    conflicts = {
        "tuning": (spec.tuning.name != "full", "full"),
        "adversary": (spec.adversary is not None, "null"),
        "objective": (spec.objective.name != "supervised", "supervised"),
    }
    for field, (is_conflict, expected) in conflicts.items():
        if is_conflict:
            message = f"sizes are trained together with {field} {expected} alone"
            hint = f"Leave out one of sizes and {field}."
            yield Finding(code="conflict", message=message, path=field, expected=expected, hint=hint)
