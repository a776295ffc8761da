"""Crossing: a slot takes the body of a base model of another signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.errors import Finding
from ml.spec.growth import grow_choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from ml.config import Choice
    from ml.package.manifest import Manifest
    from ml.spec.catalog import ArchitectureEntry


def source_slot(manifest: Manifest, slot: str) -> str | None:
    """Return the slot of a base model whose backbone `slot` starts from.

    It is the slot of the same name, or the only one, whose body crosses. None if there are several others.
    """
    if slot in manifest.architectures:
        return slot
    return next(iter(manifest.architectures)) if len(manifest.architectures) == 1 else None


def check_body(
    model: str, source: str, base: Choice, architectures: Mapping[str, ArchitectureEntry], *, slot: str, path: str
) -> Iterator[Finding]:
    """Yield why `slot` can take no body from `model`.

    The model reads the slot `source` with the backbone `base`.
    """
    if architectures[base.name].body_options:
        return
    crossing = [name for name, entry in architectures.items() if entry.body_options]
    message = f"{model} has no backbone for {slot}; it reads {source} with {base.name}, whose layers all depend on that"
    hint = f"Name a base model with a body that crosses: {', '.join(crossing)}."
    yield Finding(code="does_not_fit", message=message, path=path, expected=slot, found=source, hint=hint)


def check_body_options(
    choice: Choice, base: Choice, entry: ArchitectureEntry, *, model: str, slot: str, path: str
) -> Iterator[Finding]:
    """Yield why the architecture named for `slot` cannot have the body of `model`."""
    if choice.name != base.name:
        message = f"start_from brings the body of a {base.name} for {slot}, which {choice.name} cannot use"
        hint = f"Leave the architecture out, or name {base.name}."
        yield Finding(code="conflict", message=message, path=path, expected=base.name, found=choice.name, hint=hint)
        return
    config = grow_choice(choice, base, entry).config
    differing = [name for name in entry.body_options if config.get(name) != base.config.get(name)]
    if differing:
        own, needed = _describe(differing, config), _describe(differing, base.config)
        message = f"the body of {model} has {needed}, and the architecture named for {slot} has {own}"
        hint = f"Leave these options out, or set {needed}."
        yield Finding(code="conflict", message=message, path=path, expected=needed, found=own, hint=hint)


def _describe(names: Iterable[str], config: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {config.get(name)}" for name in names)
