"""Compares the behavior of two checkouts; only the renames of `renamed_words.json` may differ.

    python -m tools.compare_behavior BEFORE AFTER

BEFORE and AFTER are checkouts, or JSON files that `tools.behavior_snapshot` wrote. Words of BEFORE are renamed by
`renamed_words.json` first. Intended changes are listed in `intended_changes.json` as
`{"where": PATTERN, "why": REASON}`, where `fnmatch` matches the pattern with the whole path of a difference. The exit
status is 1 if anything else differs, or if a start costs more by over `--tolerance`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from tools.behavior.checkout import Checkout, Start, medians
from tools.behavior_snapshot import STARTS, digest, snapshot

HERE = Path(__file__).parent
RENAMED = HERE / "renamed_words.json"
INTENDED = HERE / "intended_changes.json"
SECTIONS = ("openapi", "catalog", "served_catalog", "metrics", "error_codes", "runs", "predictions")
PROSE = frozenset({"description", "summary", "title"})
EXAMPLES = frozenset({"example", "examples"})
WORD = re.compile(r"\w+")
#: Characters of a value in a line of the report.
SHOWN = 160


class Difference(NamedTuple):
    """One place where two snapshots differ."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is ABSENT:
            return f"+ {self.path}: {_short(self.after)}"
        if self.after is ABSENT:
            return f"- {self.path}: {_short(self.before)}"
        return f"~ {self.path}: {_short(self.before)} -> {_short(self.after)}"


ABSENT: Any = object()


def rename(value: Any, words: Mapping[str, str]) -> Any:
    """`value` with each whole word replaced, in keys and in strings."""
    if isinstance(value, str):
        return WORD.sub(lambda match: words.get(match[0], match[0]), value)
    if isinstance(value, dict):
        return {rename(name, words): rename(entry, words) for name, entry in value.items()}
    return [rename(entry, words) for entry in value] if isinstance(value, list) else value


def differences(before: Mapping[str, Any], after: Mapping[str, Any], words: Mapping[str, str]) -> list[Difference]:
    """Every difference between two snapshots in the sections that must be equal."""
    listed = []
    for section in SECTIONS:
        old = _rehash(rename(before[section], words)) if section == "predictions" else rename(before[section], words)
        listed += list(_compare(section, old, after[section]))
    return [difference for difference in listed if not _is_only_names(difference, before, after, words)]


def _rehash(predictions: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {**entry, "sha256": digest(entry["body"])} for name, entry in predictions.items()}


def _compare(path: str, before: Any, after: Any, *, names_fields: bool = False) -> Iterator[Difference]:
    """`names_fields` marks keys that are names of fields, not words of JSON schema."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            old, new = before.get(name, ABSENT), after.get(name, ABSENT)
            if not names_fields and _is_prose(name, old, new):
                continue
            yield from _compare(f"{path}.{name}", old, new, names_fields=name == "properties")
    elif _is_set(before) and _is_set(after) and not path.startswith("predictions"):
        yield from (Difference(f"{path}[]", entry, ABSENT) for entry in sorted(set(before) - set(after)))
        yield from (Difference(f"{path}[]", ABSENT, entry) for entry in sorted(set(after) - set(before)))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _compare(f"{path}[{index}]", old, new)
    elif before is ABSENT or after is ABSENT or before != after:
        yield Difference(path, before, after)


def _is_prose(name: str, before: Any, after: Any) -> bool:
    if name in EXAMPLES:
        return True
    return name in PROSE and all(value is ABSENT or isinstance(value, str) for value in (before, after))


def _is_set(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _is_only_names(difference: Difference, before: Any, after: Any, words: Mapping[str, str]) -> bool:
    """True for the digest of a weights file where only tensors were renamed."""
    match = re.fullmatch(r"runs\.(\w+)\.weights_sha256", difference.path)
    if match is None:
        return False
    tensors = (rename(before["runs"][match[1]]["tensors"], words), after["runs"][match[1]]["tensors"])
    return bool(tensors[0] == tensors[1])


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def load_or_take(path: Path) -> tuple[dict[str, Any], Checkout | None]:
    """The snapshot, without starts, and the checkout, unless `path` is a file."""
    if path.is_file():
        facts: dict[str, Any] = json.loads(path.read_bytes())
        return facts, None
    checkout = Checkout(path)
    return snapshot(checkout, starts=0), checkout


def starts_in_turn(checkouts: list[Checkout], count: int) -> list[dict[str, float]]:
    """Medians for every checkout, started in turn so that other load affects all."""
    starts: list[list[Start]] = [[] for _ in checkouts]
    for _ in range(count):
        for checkout, own in zip(checkouts, starts, strict=True):
            own.append(checkout.start_api())
    return [medians(own) for own in starts]


def report_starts(before: Mapping[str, float], after: Mapping[str, float], tolerance: float) -> bool:
    """Print both side by side. Returns True where none exceeds the tolerance."""
    is_within = True
    for name, old in before.items():
        ratio = after[name] / old
        exceeds = name != "wall_seconds" and ratio > 1 + tolerance
        is_within = is_within and not exceeds
        print(
            f"  start {name:13} {old:9.3f} {after[name]:9.3f}  x {ratio:.2f}{'  over the tolerance' if exceeds else ''}"
        )
    return is_within


def report(listed: list[Difference], intended: list[Mapping[str, str]]) -> bool:
    """Print the differences that are not intended. Returns True where there are none."""
    patterns = [entry["where"] for entry in intended]
    matched = {pattern for pattern in patterns for difference in listed if fnmatchcase(difference.path, pattern)}
    left = [item for item in listed if not any(fnmatchcase(item.path, pattern) for pattern in patterns)]
    for section in SECTIONS:
        own = [difference for difference in left if re.split(r"[.\[]", difference.path)[0] == section]
        print(f"  {section}: {len(own)} differences" if own else f"  {section}: equal")
        for difference in own:
            print(f"    {difference}")
    print(f"  {len(listed) - len(left)} differences are intended")
    for pattern in patterns:
        if pattern not in matched:
            print(f"  nothing differs at {pattern!r}: remove the entry")
    return not left


def main() -> int:
    """Exit status 0 where both behave the same but for renamed words."""
    parser = argparse.ArgumentParser(description="Compare what two checkouts do.")
    parser.add_argument("before", type=Path, help="a checkout, or a snapshot of one as a JSON file")
    parser.add_argument("after", type=Path, help="likewise")
    parser.add_argument("--words", type=Path, default=RENAMED, help="JSON object: word of before -> word of after")
    parser.add_argument("--intended", type=Path, default=INTENDED, help="JSON list of what differs on purpose")
    parser.add_argument("--starts", type=int, default=STARTS, help="starts of each API process; 0 measures none")
    parser.add_argument("--tolerance", type=float, default=0.2, help="by which fraction a start may cost more")
    options = parser.parse_args()
    (before, old), (after, new) = load_or_take(options.before), load_or_take(options.after)
    words = json.loads(options.words.read_text())
    is_same = report(differences(before, after, words), json.loads(options.intended.read_text()))
    if old and new and options.starts:
        starts_before, starts_after = starts_in_turn([old, new], options.starts)
        is_same = report_starts(starts_before, starts_after, options.tolerance) and is_same
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
