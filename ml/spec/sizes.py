"""Check of the nested sizes and early exits of a fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ml.errors import Finding
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ml.spec.catalog import Catalog
    from ml.spec.schema import Finetune


#: Nested sizes of a fine-tuning with early exits that names none.
EXIT_SIZES: Final = (1.0, 0.5, 0.25, 0.125)


def check_sizes(spec: Finetune, catalog: Catalog, architectures: Iterable[str]) -> Iterator[Finding]:
    """Yield why a fine-tuning cannot train these sizes together."""
    yield from _check_exits(spec)
    if spec.sizes is None and not spec.exits:
        return
    field, sizes = ("exits", EXIT_SIZES) if spec.sizes is None else ("sizes", tuple(spec.sizes))
    if 1 not in sizes or len(set(sizes)) < max(2, len(sizes)):
        message = "sizes are different fractions of the units of each layer, of which one is 1"
        yield Finding(
            code="invalid_option", message=message, path="sizes", expected="[1, 0.5, 0.25]", hint="Add 1 and one other."
        )
    names = [name for name in architectures if name in catalog.architectures]
    if names and not any(catalog.architectures[name].prunable for name in names):
        prunable = [name for name, entry in catalog.architectures.items() if entry.prunable]
        message = f"{', '.join(names)} has only one size: its widths are those of its features, which the head reads"
        hint = f"A head cannot be sliced. Leave {field} out, or choose another architecture."
        yield Finding(code="does_not_fit", message=message, path=field, expected=", ".join(prunable), hint=hint)
    conflicts = {
        "tuning": (spec.tuning.name != "full", "full"),
        "adversary": (spec.adversary is not None, "null"),
        "objective": (spec.objective.name != "supervised", "supervised"),
    }
    for option, (is_conflict, expected) in conflicts.items():
        if is_conflict:
            message = f"{field} are trained together with {option} {expected} alone"
            hint = f"Leave out one of {field} and {option}."
            yield Finding(code="conflict", message=message, path=option, expected=expected, hint=hint)


def _check_exits(spec: Finetune) -> Iterator[Finding]:
    """Yield why inputs cannot leave early."""
    if not spec.exits:
        return
    if spec.task.name in TASKS and not TASKS[spec.task.name].is_calibrated:
        classifiers = ", ".join(name for name, task in TASKS.items() if task.is_calibrated)
        message = f"{spec.task.name} has no single class for each input of which a size could be sure"
        hint = "Leave exits out."
        yield Finding(code="does_not_fit", message=message, path="exits", expected=classifiers, hint=hint)
