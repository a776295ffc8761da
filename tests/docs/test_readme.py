import re
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY, Block, blocks, clone, lines_not_in, run, terminal

README = REPOSITORY / "README.md"
MAX_LINES = 200


@pytest.mark.process
@pytest.mark.timeout(600)
def test_every_block_works_when_pasted_in_order(tmp_path: Path) -> None:
    first, *others = blocks(README)
    with clone(tmp_path / "clone") as environment, terminal(first, tmp_path / "clone", environment):
        outputs = run(others, tmp_path / "clone", environment)

    missing = {block.code: lines_not_in(text, block.output) for block, text in zip(others, outputs, strict=True)}
    assert {code: lines for code, lines in missing.items() if lines} == {}


def test_the_first_block_alone_starts_the_service() -> None:
    first, *others = blocks(README)

    assert first.code.splitlines()[-1] == "plinth up"
    assert not any("plinth up" in block.code.splitlines() for block in others)
    assert {block.language for block in others} == {"bash", "python"}


def test_the_commands_to_make_are_targets() -> None:
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)

    assert set(re.findall(r"^make ([a-z-]+)", README.read_text(), re.MULTILINE)) <= set(targets)


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    ("output", "expected", "missing"),
    [
        ("accuracy  0.9889\ndone", "accuracy 0.97\n...\ndone", []),
        ('{"label":"7","confidence":0.9}', '{"label":"7",...', []),
        ("1797 rows: 1797 accepted", "1797 rows: 1797 rejected", ["1797 rows: 1797 rejected"]),
        ("second\nfirst", "first\nsecond", ["second"]),
        ('"hint": "Did you mean"', '"hint": "..."', []),
    ],
)
def test_the_comparison_ignores_numbers_and_notices_words(output: str, expected: str, missing: list[str]) -> None:
    assert lines_not_in(output, expected) == missing


def test_a_block_that_fails_stops_the_page(tmp_path: Path) -> None:
    with clone(tmp_path / "clone") as environment, pytest.raises(AssertionError, match="ended with 7"):
        run([Block("bash", "(exit 7)\n"), Block("bash", "true\n")], tmp_path / "clone", environment)
