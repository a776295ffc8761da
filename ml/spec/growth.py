"""Growth: a base model whose architecture is named again, with larger options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.config import Choice
from ml.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.spec.catalog import ArchitectureEntry


def grow_choice(choice: Choice, base: Choice, entry: ArchitectureEntry) -> Choice:
    """Return the larger architecture; options that it leaves out are those of the base model."""
    options = dict(choice.config)
    name = options.pop("preset", None)
    preset = entry.presets.get(name) if isinstance(name, str) else None
    return Choice(name=base.name, config={**base.config, **(preset.config if preset else {}), **options})


def check_growth(choice: Choice, base: Choice, entry: ArchitectureEntry, *, slot: str, path: str) -> Iterator[Finding]:
    """Yield why `choice` is not the architecture of the base model with larger options.

    `entry` is that of the base model's architecture.
    """
    options = ", ".join(entry.growable)
    hint = "Leave out one of the two."
    if options:
        hint += f" To grow the base model, name {base.name} with larger values of: {options}."
    config = grow_choice(choice, base, entry).config if choice.name == base.name else base.config
    changes = {name: value for name, value in config.items() if value != base.config.get(name)}
    if not changes:
        message = f"start_from already has the backbone {base.name} for {slot}"
        yield Finding(code="conflict", message=message, path=path, hint=hint)
    for name, value in changes.items():
        if reason := _reason(name, value, base, entry):
            message = f"the backbone {base.name} of start_from cannot grow: {reason}"
            yield Finding(code="conflict", message=message, path=path, hint=hint)


def _reason(name: str, value: Any, base: Choice, entry: ArchitectureEntry) -> str | None:
    """Return why an option cannot have this value; None if it can."""
    if name not in entry.growable:
        return f"{name} must stay {base.config.get(name)}"
    if not _is_larger(value, base.config.get(name)):
        old = base.config.get(name)
        if old == 0:
            return f"{name} is 0, and a layer cannot be added"
        return f"{name} must be larger than {old}" + (", with as many layers" if isinstance(old, list | tuple) else "")
    for needed, allowed in entry.growable[name].items():
        if base.config.get(needed) != allowed:
            return f"larger {name} need {needed} {allowed}, not {base.config.get(needed)}"
    return None


def _is_larger(value: Any, base: Any) -> bool:
    """Check if numbers, or nested lists of them, are nowhere smaller.

    A layer of width 0 is absent, and cannot grow.
    """
    if isinstance(value, list | tuple) and isinstance(base, list | tuple):
        pairs = list(zip(value, base, strict=False))
        return len(value) == len(base) and all(new == old or _is_larger(new, old) for new, old in pairs)
    return isinstance(value, int) and isinstance(base, int) and value >= base > 0
