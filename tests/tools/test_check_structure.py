from pathlib import Path

import pytest

from tests.tools.conftest import Plant, RunCheck
from tools import check_structure


def _function(lines: int) -> str:
    return "def read(): ...\n" if lines == 1 else "def read():\n" + "    pass\n" * (lines - 1)


def test_a_room_holds_at_most_16_files_beside_its_init(run_check: RunCheck) -> None:
    files = {f"app/jobs/file_{number}.py": "" for number in range(16)}
    files |= {"app/jobs/__init__.py": "", "app/jobs/__main__.py": ""}
    assert run_check(check_structure.main, files, "app") == []
    (line,) = run_check(check_structure.main, {"app/jobs/one_more.py": ""}, "app")
    assert line == "app/jobs:1: 17 files beside each other (limit 16); group them into folders"


def test_an_allowed_room_has_its_own_limit(run_check: RunCheck) -> None:
    files = {f"migrations/versions/{number}.py": "" for number in range(17)}
    assert run_check(check_structure.main, files, "migrations") == []


def test_a_limit_of_its_own_that_is_not_needed_is_reported(run_check: RunCheck) -> None:
    files = {f"store/file_{number}.py": "" for number in range(16)} | {"migrations/versions/a.py": "", "README.md": ""}
    (line,) = run_check(check_structure.main, files)
    assert line == "store:1: 16 files need no limit of their own in structure.toml; delete it"


def test_a_folder_without_code_counts_files_of_every_suffix(run_check: RunCheck) -> None:
    files = {f"docs/how-to/page_{number}.md": "" for number in range(15)} | {"docs/how-to/picture.svg": ""}
    files |= {f"docs/decisions/{number}.md": "" for number in range(17)}
    files |= {f"ml/spec/file_{number}.json": "" for number in range(17)} | {"ml/spec/check.py": "", "README.md": ""}
    assert run_check(check_structure.main, files) == []
    (line,) = run_check(check_structure.main, {"docs/how-to/page_15.md": ""})
    assert line == "docs/how-to:1: 17 files beside each other (limit 16); group them into folders"


def test_a_test_lies_where_its_subject_lies(run_check: RunCheck) -> None:
    files = {"ml/evaluation/sections/slices.py": "", "ml/evaluation/report.py": "", "ml/old/report.py": ""}
    names = ["evaluation/test_report", "evaluation/sections/test_slices", "evaluation/test_any_topic", "test_whole_ml"]
    files |= {f"tests/ml/{name}.py": "" for name in names} | {"tests/test_slices.py": "", "README.md": ""}
    files |= {"app/jobs/licenses.py": "", "tests/web/test_home.py": "", "tests/app/test_licenses.py": ""}
    assert run_check(check_structure.main, files) == []
    misplaced = {"tests/ml/evaluation/test_slices.py": "", "tests/ml/test_sections.py": "", "tests/pages/test_a.py": ""}
    assert [line.partition("; ")[0] for line in run_check(check_structure.main, misplaced)] == [
        "tests/ml/evaluation/test_slices.py:1: ml/evaluation/sections/slices lies below ml/evaluation",
        "tests/ml/test_sections.py:1: ml/evaluation/sections lies below ml",
        "tests/pages/test_a.py:1: tests/pages mirrors no folder",
    ]


def test_99_of_100_functions_have_at_most_40_lines(run_check: RunCheck) -> None:
    files = {"app/short.py": _function(40) * 98, "app/long.py": _function(41) + _function(60)}
    lines = run_check(check_structure.main, files, "app")
    assert [line.partition(": p99 of function length in app is 41 lines (limit 40); ")[0::2] for line in lines] == [
        ("app/long.py:1", "split read, 41 lines"),
        ("app/long.py:42", "split read, 60 lines"),
    ]
    assert run_check(check_structure.main, {"app/shorter.py": _function(1) * 100}, "app") == []


def test_the_readme_has_at_most_200_lines(run_check: RunCheck) -> None:
    assert run_check(check_structure.main, {"README.md": "line\n" * 200}) == []
    (line,) = run_check(check_structure.main, {"README.md": "line\n" * 201})
    assert line.startswith("README.md:1: 201 lines (limit 200)")


def test_a_limit_of_its_own_needs_a_reason(tmp_path: Path) -> None:
    config = tmp_path / "structure.toml"
    config.write_text(check_structure.CONFIG.read_text() + '\n[[allow]]\nroom = "app"\nmax_files = 99\nreason = " "\n')
    with pytest.raises(ValueError, match="the limit of app has no reason"):
        check_structure.StructureLimits.load(config)


def test_a_test_that_mirrors_nothing_needs_a_reason(tmp_path: Path) -> None:
    config = tmp_path / "structure.toml"
    config.write_text(check_structure.CONFIG.read_text() + '\n[[test]]\npath = "tests/any"\nreason = ""\n')
    with pytest.raises(ValueError, match="the test tests/any has no reason"):
        check_structure.StructureLimits.load(config)


def test_figures_give_rooms_and_percentiles(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    plant({"app/a.py": "".join(_function(lines) for lines in range(1, 101)), "app/b.py": "", "store/a.py": ""})
    assert check_structure.main(["--figures"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["2", "files", "in", "app"]
    assert ["app", "100", "50", "90", "99", "100"] in lines
