import tomllib

import pytest

from tests.tools.conftest import RunCheck
from tools import check_wording

_GOOD = '''
"""Batches of requests for one model.

Rows of one batch share a shape: float32 [B, C, H, W].
"""

#: Longest time that a request waits for others, in seconds.
MAX_WAIT_S = 0.01
COLOUR_KEY = "colour"  # The JSON name `colour` is older.


def submit(rows: list[int]) -> None:
    """Queue the rows.

    Who submits them later?

    Raises:
        QueueFull: `told` rows wait (limit 512).
    """
    raise QueueFull(f"Too many rows: {rows} (limit 512).", hint="Retry in a moment.")
'''


def _words() -> list[tuple[str, str]]:
    tables = tomllib.loads(check_wording.CONFIG.read_text())
    listed = tables["phrases"] | tables["spellings"]
    return [(phrase.rstrip("*"), write) for phrase, write in listed.items() if "(" not in phrase]


def test_good_prose_passes(run_check: RunCheck) -> None:
    document = (
        "# What it is\n\nA `colour` image.\n\n```\ntold of late\n```\n\nWho reads this? See [words](./colour.md).\n"
    )
    assert run_check(check_wording.main, {"app/rows.py": _GOOD, "docs/a.md": document}, "app", "docs") == []


def test_every_banned_phrase_is_reported_with_its_replacement(run_check: RunCheck) -> None:
    words = _words()
    document = "".join(f"A model {word} twice.\n\n" for word, _ in words)
    lines = run_check(check_wording.main, {"docs/a.md": document}, "docs")
    assert lines == [
        f"docs/a.md:{2 * number + 1}: paragraph: {word!r}; write: {write}" for number, (word, write) in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ('"""Rows told apart."""', "docstring"),
        ('class Row:\n    """A row told apart."""', "docstring"),
        ('def read():\n    """Read\n\n    Rows told apart.\n    """', "docstring"),
        ("row = 1  # Rows told apart.", "comment"),
        ("#: Rows told\nrow = 1", "comment"),
        ('raise ValueError("rows were told apart")', "string"),
        ('raise ValueError(f"rows {1} told")', "string"),
        ('Field(description="told")', "string"),
        ('Option(help="Told")', "string"),
    ],
)
def test_a_banned_word_is_reported_in_every_kind_of_prose(run_check: RunCheck, code: str, place: str) -> None:
    lines = run_check(check_wording.main, {"app/rows.py": code}, "app")
    assert any(f"{place}: 'told'" in line.lower() for line in lines)


@pytest.mark.parametrize(
    ("text", "banned"),
    [
        ("One picture of two.", "picture"),
        ("Its letters are counted.", "letters"),
        ("Letters and digits only.", None),
        ("A recording of 3 s.", "A recording"),
        ("The middleware is recording the request.", None),
        ("The log odds.", "odds"),
        ("Rows drawn by chance.", "chance"),
        ("A share of rows.", "A share"),
        ("Tasks share an encoder.", None),
        ("The job was cancelled.", None),
        ("See the LICENSE file.", None),
        ("A free licence.", "licence"),
    ],
)
def test_words_of_the_field_are_distinguished_from_their_common_uses(
    run_check: RunCheck, text: str, banned: str | None
) -> None:
    lines = run_check(check_wording.main, {"docs/a.md": text}, "docs")
    assert [f": {banned!r}; write:" in line for line in lines] == ([True] if banned else [])


@pytest.mark.parametrize("opening", ["Of rows, these are left.", "Who sends rows waits.", "So many rows are left."])
@pytest.mark.parametrize("template", ["{}", "Rows are read. {}"])
def test_a_turned_round_sentence_is_reported(run_check: RunCheck, opening: str, template: str) -> None:
    text = template.format(opening)
    lines = run_check(check_wording.main, {"docs/a.md": text, "app/a.py": f"raise E({text!r})"}, "docs", "app")
    assert sum("sentence opens with" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("summary", "fault"),
    [
        (" ".join(["word"] * 16) + ".", "first line has 16 words (limit 15)"),
        ("Queue for one model", "does not end with a period"),
        ("What waits for one model.", "opens with 'What'"),
        ("Of its context.", "opens with 'Of'"),
        ("How many rows.", "opens with 'How'"),
        ("Whether it is full.", "opens with 'Whether'"),
        ("So many rows.", "opens with 'So'"),
    ],
)
def test_the_first_line_of_a_docstring_is_a_short_plain_phrase(run_check: RunCheck, summary: str, fault: str) -> None:
    lines = run_check(check_wording.main, {"app/a.py": f'def read():\n    """{summary}"""'}, "app")
    assert any(line.startswith("app/a.py:2: docstring: ") and fault in line for line in lines)


def test_a_turned_round_sentence_in_the_body_of_a_docstring_is_reported(run_check: RunCheck) -> None:
    code = 'def read():\n    """Return rows.\n\n    Of several rows the first is read.\n    """\n'
    (line,) = run_check(check_wording.main, {"app/a.py": code}, "app")
    assert line == "app/a.py:4: docstring: sentence opens with 'Of'; start with its subject or verb"


def test_a_bare_string_after_a_field_is_reported(run_check: RunCheck) -> None:
    code = 'class Row:\n    """A row."""\n\n    size: int\n    """Size in bytes."""\n'
    (line,) = run_check(check_wording.main, {"app/a.py": code}, "app")
    assert line.startswith("app/a.py:5: bare string; write a `#:` comment above the field")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("test_a_wrong_row_is_told", "name of a test: 'told'"),
        ("test_what_is_wrong_is_reported", "name of a test: opens with 'what'"),
        ("test_of_two_rows_one_is_read", "name of a test: opens with 'of'"),
    ],
)
def test_the_name_of_a_test_is_a_plain_sentence(run_check: RunCheck, name: str, fault: str) -> None:
    (line,) = run_check(check_wording.main, {"tests/test_rows.py": f"def {name}(): ..."}, "tests")
    assert line.startswith(f"tests/test_rows.py:1: {fault}")


@pytest.mark.parametrize(
    ("file", "content", "place"),
    [
        ("page.js", 'const text = "Rows are told apart.";', "string"),
        ("page.js", "show(`${count} rows are told apart`);", "string"),
        ("page.js", "go(); // Rows told apart.", "comment"),
        ("page.css", ".row { top: 0; } /* told apart */", "comment"),
        ("page.html", "<p title='told'>{{ told }}</p>\n<p>Rows are told apart.</p>", "paragraph"),
    ],
)
def test_texts_of_the_pages_are_read(run_check: RunCheck, file: str, content: str, place: str) -> None:
    (line,) = run_check(check_wording.main, {f"app/web/{file}": content}, "app")
    assert f": {place}: 'told'" in line


def test_code_and_markup_of_the_pages_are_left_alone(run_check: RunCheck) -> None:
    files = {
        "app/a.js": 'const link = "https://colour.example"; told(picture);',
        "app/a.html": "<p class='told'>Rows</p>",
    }
    assert run_check(check_wording.main, files, "app") == []


def test_comments_of_settings_and_build_files_are_read(run_check: RunCheck) -> None:
    lines = run_check(check_wording.main, {"Makefile": "up: setup ## start of late\n\t@echo told\n"}, "Makefile")
    assert lines == ["Makefile:1: comment: 'of late'; write: recently"]


def test_words_inside_identifiers_paths_and_addresses_are_left_alone(run_check: RunCheck) -> None:
    text = "See colour_map, app/colour/a.py, row.colour, `the colour` and https://colour.example/told.\n"
    assert run_check(check_wording.main, {"docs/a.md": text}, "docs") == []


def test_a_hash_inside_a_string_opens_no_comment(run_check: RunCheck) -> None:
    code = 'row = "# told"\nlong = """\n# told\n"""\nname = f"# told {row}"  # Told apart.\n'
    lines = run_check(check_wording.main, {"app/a.py": code}, "app")
    assert [line for line in lines if "comment" in line] == [
        "app/a.py:5: comment: 'Told'; write: the plain verb: sent, passed, reported, described"
    ]
