import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import REPOSITORY
from tests.tools.conftest import Plant, RunCheck
from tools import check_names

_GOOD = '''
"""Rows of a table."""

MAX_ROWS = 3
founded = asking = 1
not_found = [row for row in (1, 2) if row != MAX_ROWS]
'''


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("found", "found = 1"),
        ("each", "for each in ():\n    pass"),
        ("asked", "def read(asked): ..."),
        ("wanted", "def read(*, wanted=1): ..."),
        ("given", "rows = [given for given in ()]"),
        ("told", "class Event:\n    told: str"),
        ("said", "class Event:\n    def said(self): ..."),
        ("taken", "import rows\nrows.taken.append(1)"),
        ("taken", "dict(taken=1)"),
        ("meant", "import rows as meant"),
        ("_found", "_found = 1"),
        ("found_BT", "found_BT = 1"),
        ("found", "with open('x') as found: ..."),
        ("found", "try: ...\nexcept OSError as found: ..."),
        ("found", "match 1:\n    case found: ..."),
        ("found", "match 1:\n    case [*found]: ..."),
        ("found", "match 1:\n    case {**found}: ..."),
        ("told", "match 1:\n    case Row(told=1): ..."),
        ("found", "def read():\n    global found"),
        ("found", "if (found := 1): ..."),
        ("known", "known = ()"),
        ("one", "for one, two in (): ..."),
        ("other", "def join(self, other): ..."),
        ("share", "share = 0.5"),
        ("chance", "def draw(chance): ..."),
        ("pictures", "import rows\nrows.pictures"),
    ],
)
def test_a_vague_name_is_reported_wherever_it_stands(run_check: RunCheck, name: str, code: str) -> None:
    lines = run_check(check_names.main, {"app/rows.py": code}, "app")
    assert lines
    assert all(line.startswith("app/rows.py:") and f"vague name `{name}`" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("found", "const found = 1;"),
        ("found", "const [first, found] = rows;"),
        ("found", "const { device: found } = rows;"),
        ("found", "for (const found of rows) {}"),
        ("asked", "function read(rows, asked) {}"),
        ("other", "rows.filter((other) => true);"),
        ("each", "rows.map(each => 1);"),
    ],
)
def test_a_vague_name_of_a_script_is_reported(run_check: RunCheck, name: str, code: str) -> None:
    lines = run_check(check_names.main, {"app/web/page.js": f"// found\n{code}"}, "app")
    assert lines
    assert all(line.startswith(f"app/web/page.js:2: vague name `{name}`") for line in lines)


def test_members_and_strings_of_a_script_pass(run_check: RunCheck) -> None:
    code = 'const text = `found ${item.found}`; row.each("asked");'
    assert run_check(check_names.main, {"app/web/page.js": code}, "app") == []


@pytest.mark.parametrize("name", ["packed", "_checked", "held", "_written"])
def test_a_function_named_by_a_participle_is_reported(run_check: RunCheck, name: str) -> None:
    [line] = run_check(check_names.main, {"app/rows.py": f"class Rows:\n    def {name}(self): ..."}, "app")
    assert line.startswith(f"app/rows.py:2: function `{name}` is named by a participle")


@pytest.mark.parametrize(
    "code",
    [
        "def embed(): ...",
        "def checked_rows(): ...",
        "class Rows:\n    @property\n    def packed(self): ...",
        "import pytest\n@pytest.fixture(scope='module')\ndef trained(): ...",
    ],
)
def test_verbs_nouns_and_values_may_end_like_a_participle(run_check: RunCheck, code: str) -> None:
    assert run_check(check_names.main, {"app/rows.py": code}, "app") == []


@pytest.mark.parametrize("name", ["MOST_ROWS", "_LEAST_STEPS", "LONGEST_TEXT", "FEWEST"])
def test_a_limit_starts_with_max_or_min(run_check: RunCheck, name: str) -> None:
    lines = run_check(check_names.main, {"app/rows.py": f"{name} = 3"}, "app")
    assert bool(lines) == (name != "FEWEST")
    assert all(f"limit `{name}`; start it with M" in line for line in lines)


@pytest.mark.parametrize(
    "code",
    ["class Finding:\n    found: str", "Finding(found=1)", "finding.found", "match 1:\n    case Finding(found=1): ..."],
)
def test_a_public_field_passes_as_field_and_not_as_variable(run_check: RunCheck, code: str) -> None:
    assert run_check(check_names.main, {"app/rows.py": code}, "app") == []
    assert len(run_check(check_names.main, {"app/columns.py": f"{code}\nfound = 1"}, "app")) == 1  # files are read once


def test_good_names_pass(run_check: RunCheck) -> None:
    assert run_check(check_names.main, {"app/rows.py": _GOOD}, "app") == []


def test_an_exemption_holds_in_its_files_alone(run_check: RunCheck) -> None:
    code = "from hypothesis import given"
    assert run_check(check_names.main, {"tests/test_rows.py": code}, "tests") == []
    assert len(run_check(check_names.main, {"app/rows.py": code}, "app")) == 1


def test_an_exemption_without_use_is_reported(run_check: RunCheck) -> None:
    lines = run_check(check_names.main, {"app/rows.py": _GOOD})
    assert any("exemption for 'given' in tests/* covers nothing" in line for line in lines)
    assert all(line.endswith("covers nothing; delete it") for line in lines)


def test_an_exemption_without_a_reason_is_an_error(tmp_path: Path) -> None:
    config = tmp_path / "names.toml"
    config.write_text('[banned]\n[limits]\n[[allow]]\nname = "given"\npath = "tests/*"\nreason = ""\n')
    with pytest.raises(ValueError, match="the exemption for 'given' has no reason"):
        check_names.NameRules.load(config)


def test_figures_count_names_per_thousand_lines(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    plant({"app/rows.py": "found = found + 1\nfor each in ():\n    found = each\n" + "\n" * 997})
    assert check_names.main(["--figures", "app"]) == 0
    line = capsys.readouterr().out
    assert " ".join(line.split()) == "app 1,000 lines 5.0 vague names per 1,000 found 3.0, each 2.0"


def test_the_command_exits_with_1_on_a_finding(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    command = [sys.executable, "-P", "-m", "tools.check_names", "app"]
    for code, status in (("row = 1", 0), ("each = 1", 1)):
        (tmp_path / "app" / "rows.py").write_text(code)
        done = subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (status, "1 violations\n" if status else "")
