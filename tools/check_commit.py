"""Report a commit subject that is not `scope: verb object`, for a commit-msg hook.

python -m tools.check_commit MESSAGE_FILE
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.check_wording import WordRules, word_faults
from tools.checking.violations import Violation, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_CHARACTERS: Final = 72

#: One scope or several: `ml/data: ...`, `app, worker: ...`.
_SUBJECT: Final = re.compile(r"(?P<scope>[a-z][\w./-]*(?:, [a-z][\w./-]*)*): (?P<words>\S.*)")

#: Subjects written by git.
_BY_GIT: Final = re.compile(r"(Merge|Revert|fixup!|squash!|amend!) ?")


def check(path: Path, rules: WordRules) -> Iterator[Violation]:
    """Report what is wrong with the first line of a commit message."""
    subject = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    if _BY_GIT.match(subject):
        return
    if len(subject) > MAX_CHARACTERS:
        yield Violation(path, 1, f"subject has {len(subject)} characters (limit {MAX_CHARACTERS})")
    parts = _SUBJECT.fullmatch(subject)
    if parts is None:
        yield Violation(
            path, 1, "subject has no scope; write `scope: verb object`, as in `store: retry a lost connection`"
        )
        return
    verb = re.split(r"\W", parts["words"], maxsplit=1)[0]
    if verb != verb.lower() or verb in rules.not_verbs or _is_participle(verb, rules):
        yield Violation(path, 1, f"{verb!r} is no imperative verb in lower case; write `scope: verb object`")
    if subject.endswith("."):
        yield Violation(path, 1, "subject ends with a period; leave it out")
    for word, write in word_faults(parts["words"], rules):
        yield Violation(path, 1, f"subject: {word!r}; write: {write}")


def _is_participle(word: str, rules: WordRules) -> bool:
    return word.endswith(("ed", "ing")) and word not in rules.verbs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 1 if it reports a finding."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_commit", description="Check a commit subject.")
    parser.add_argument("message", type=Path, help="the file with the commit message, as git passes it to a hook")
    return report(check(parser.parse_args(arguments).message, WordRules.load()))


if __name__ == "__main__":
    sys.exit(main())
