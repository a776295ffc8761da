"""Relative links of Markdown documents and the headings that they point to."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from tools.checking.violations import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: `[text](target)`, `![alt](target "title")`, and `[label]: target`.
_LINK: Final = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\s*\[[^\]]+\]:\s+(\S+)", re.MULTILINE)

_FENCED: Final = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)

_HEADING: Final = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)


def broken_links(path: Path, text: str) -> Iterator[Violation]:
    """Report relative links to a missing file or a missing heading."""
    prose = _FENCED.sub(lambda match: "\n" * match.group().count("\n"), text)
    for match in _LINK.finditer(prose):
        target = unquote(match.group(1) or match.group(2))
        line = 1 + prose.count("\n", 0, match.start())
        if re.match(r"[a-z][a-z0-9+.-]*:|//|/", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name) if name else path
        if not file.exists():
            yield Violation(path, line, f"link to {name!r}, which does not exist")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.resolve()):
            yield Violation(path, line, f"link to {target!r}: no heading has this anchor")


@cache
def anchors(path: Path) -> frozenset[str]:
    """Give the anchors of the headings of a document, as GitHub and MkDocs form them."""
    seen: dict[str, int] = {}
    slugs: set[str] = set()
    text = path.read_text(encoding="utf-8")
    for heading in _HEADING.findall(_FENCED.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        plain = re.sub(r"[^\w\s-]", "", words.lower()).strip()
        for slug in {re.sub(r"\s", "-", plain), re.sub(r"[\s-]+", "-", plain)}:
            repeats = seen.get(slug, 0)
            slugs.update({slug} if not repeats else {f"{slug}-{repeats}", f"{slug}_{repeats}"})
            seen[slug] = repeats + 1
    slugs.update(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    return frozenset(slugs)
