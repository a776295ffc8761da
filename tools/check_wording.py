"""Report banned words, turned-round sentences and malformed docstrings in code and documents.

python -m tools.check_wording [PATHS]
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools.checking.allowlist import Allowlist
from tools.checking.page_passages import SUFFIXES as PAGE_SUFFIXES
from tools.checking.page_passages import passages_of_page_file
from tools.checking.passages import Passage, Place, passages_of_markdown, passages_of_module, passages_of_settings
from tools.checking.sources import default_paths, files, load_module
from tools.checking.violations import Violation, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONFIG: Final = Path(__file__).with_name("words.toml")

#: Suffixes of the files in a folder that are read; other names are read when passed as a path.
SUFFIXES: Final = frozenset({".py", ".md"}) | PAGE_SUFFIXES

#: Documents and settings at the root that people read.
DOCUMENTS: Final = (
    ".ci/run", ".env.example", ".github", "CHANGELOG.md", "CONTRIBUTING.md", "DEVELOPMENT.md", "Dockerfile", "Makefile",
    "README.md", "RELEASING.md", "SECURITY.md", "docker-compose.yml", "docs", "pyproject.toml",
)  # fmt: skip

#: Code, links and dotted or snake_case names inside prose are identifiers: what they are called is not wording.
_IDENTIFIERS: Final = re.compile(
    r"`+[^`]+`+|https?://\S+|\]\([^)]*\)|<!--.*?-->|\S*\w[_/\\]\w\S*|\w+(?:\.\w+)+", re.DOTALL
)

#: The start of a sentence: the start of the passage, or after a full stop.
_SENTENCE: Final = re.compile(r"(?:\A|(?<=[.!?])\s+|(?<=[.!?]['\")])\s+)(?=\S)")


@dataclass(frozen=True, slots=True)
class BannedWord:
    """A banned word and its replacement; `unless` matches the uses that are allowed."""

    word: str
    pattern: re.Pattern[str]
    write: str
    unless: re.Pattern[str] | None = None

    def places(self, text: str) -> Iterator[tuple[int, str]]:
        """List the offset and text of each violation."""
        spared = [match.span() for match in self.unless.finditer(text)] if self.unless else []
        for match in self.pattern.finditer(text):
            if not any(start < match.end() and match.start() < end for start, end in spared):
                yield match.start(), match.group()


@dataclass(frozen=True, slots=True)
class WordRules:
    """All wording rules, read from TOML."""

    rules: tuple[BannedWord, ...]
    any_rule: re.Pattern[str]
    sentence_openings: re.Pattern[str]
    docstring_openings: frozenset[str]
    test_openings: frozenset[str]
    max_words: int
    #: First words of a commit subject that are no imperative verb, and verbs that look like a participle.
    not_verbs: frozenset[str]
    verbs: frozenset[str]
    allowed: Allowlist

    @classmethod
    def load(cls, path: Path = CONFIG) -> WordRules:
        """Read the rules.

        Raises:
            ValueError: an exemption has no reason.
        """
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        rules = [_rule_of_phrase(phrase, write) for phrase, write in (tables["phrases"] | tables["spellings"]).items()]
        rules += [_rule_of_table(table) for table in tables["word"]]
        openings = "|".join(opening.replace(" ", r"\s+") for opening in tables["sentences"]["openings"])
        return cls(
            tuple(rules),
            re.compile("|".join(f"(?:{rule.pattern.pattern})" for rule in rules), re.IGNORECASE),
            re.compile(rf"(?:{openings})\b"),
            frozenset(tables["docstrings"]["openings"]),
            frozenset(tables["sentences"]["test_openings"]),
            tables["docstrings"]["max_words"],
            frozenset(tables["commits"]["not_verbs"]),
            frozenset(tables["commits"]["verbs"]),
            Allowlist.from_tables(path, tables.get("allow", ()), key="word"),
        )


def _rule_of_phrase(phrase: str, write: str) -> BannedWord:
    pattern = re.sub(r"\*$", r"\\w*", phrase).replace(" ", r"\s+")
    return BannedWord(phrase, _whole_words(pattern), write)


def _rule_of_table(table: dict[str, Any]) -> BannedWord:
    unless = _whole_words(table["unless"].replace(" ", r"\s+")) if "unless" in table else None
    return BannedWord(table["pattern"], _whole_words(table["pattern"].replace(" ", r"\s+")), table["write"], unless)


def _whole_words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{pattern})(?![\w])", re.IGNORECASE)


def check(paths: Sequence[Path], rules: WordRules) -> Iterator[Violation]:
    """Report every violation in the files named by `paths` or below a folder named there."""
    for path in _readable(paths):
        for passage in passages(path):
            for line, word, message in _faults(passage, rules):
                if not rules.allowed.permits(word, path):
                    yield Violation(path, line, message)


def _readable(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path
        else:
            yield from files([path], suffixes=SUFFIXES)


def passages(path: Path) -> Iterator[Passage]:
    """List the prose of a file by its kind."""
    if path.suffix == ".py":
        return passages_of_module(load_module(path))
    if path.suffix in PAGE_SUFFIXES:
        return passages_of_page_file(path)
    return passages_of_markdown(path) if path.suffix == ".md" else passages_of_settings(path)


def _faults(passage: Passage, rules: WordRules) -> Iterator[tuple[int, str, str]]:
    """List line, word and message of each violation in one passage."""
    if passage.place is Place.STRAY:
        yield passage.line, "stray string", "bare string; write a `#:` comment above the field or Annotated[..., Doc()]"
    prose = _IDENTIFIERS.sub(_blank, passage.text)
    if rules.any_rule.search(prose):
        for rule in rules.rules:
            for offset, text in rule.places(prose):
                yield _line(passage, offset), rule.word, f"{passage.place.value}: {_quote(text)}; write: {rule.write}"
    if passage.place is Place.DOCSTRING:
        yield from ((passage.line, word, message) for word, message in _summary_faults(passage.text, rules))
        yield from _openings(passage, prose, rules)
    elif passage.place is Place.TEST_NAME:
        opening = passage.text.partition(" ")[0]
        if opening in rules.test_openings:
            yield passage.line, opening, f"name of a test: opens with {opening!r}; start with its subject"
    elif passage.place is not Place.HEADING:
        yield from _openings(passage, prose, rules)


def word_faults(text: str, rules: WordRules) -> Iterator[tuple[str, str]]:
    """List the banned words in a text with their replacements."""
    prose = _IDENTIFIERS.sub(_blank, text)
    yield from ((word, rule.write) for rule in rules.rules for _, word in rule.places(prose))


def _summary_faults(docstring: str, rules: WordRules) -> Iterator[tuple[str, str]]:
    """List what is wrong with the first line of a docstring."""
    summary = docstring.strip().partition("\n")[0].strip()
    words = summary.split()
    if len(words) > rules.max_words:
        yield "summary length", f"docstring: first line has {len(words)} words (limit {rules.max_words})"
    if not summary.endswith("."):
        yield "summary period", "docstring: first line does not end with a period"
    if words and words[0].strip(",.:;") in rules.docstring_openings:
        yield words[0], f"docstring: first line opens with {words[0]!r}; open with a verb or a noun phrase"


def _openings(passage: Passage, prose: str, rules: WordRules) -> Iterator[tuple[int, str, str]]:
    """List sentences that open with a relative or a genitive and are no questions."""
    for start in _SENTENCE.finditer(prose):
        opening = rules.sentence_openings.match(prose, start.end())
        sentence = re.split(r"(?<=[.!?])\s", prose[start.end() :], maxsplit=1)[0]
        if opening and not sentence.rstrip().endswith("?"):
            message = f"{passage.place.value}: sentence opens with {opening.group()!r}; start with its subject or verb"
            yield _line(passage, start.end()), opening.group(), message


def _blank(match: re.Match[str]) -> str:
    """Replace an identifier by as many neutral characters, so that offsets and lines stay."""
    return "".join("\n" if character == "\n" else "\N{MIDDLE DOT}" for character in match.group())


def _line(passage: Passage, offset: int) -> int:
    return passage.line + passage.text.count("\n", 0, offset)


def _quote(text: str) -> str:
    return repr(" ".join(text.split()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 1 if it reports a finding."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_wording", description="Report banned wording.")
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; default: every room and document")
    options = parser.parse_args(arguments)
    rules = WordRules.load()
    paths = options.paths or [*default_paths(), *(Path(name) for name in DOCUMENTS if Path(name).exists())]
    findings = list(check(paths, rules))
    if not options.paths:
        findings.extend(rules.allowed.list_unused())
    return report(findings)


if __name__ == "__main__":
    sys.exit(main())
