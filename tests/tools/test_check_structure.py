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


def test_figures_give_rooms_and_percentiles(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    plant({"app/a.py": "".join(_function(lines) for lines in range(1, 101)), "app/b.py": "", "store/a.py": ""})
    assert check_structure.main(["--figures"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["2", "files", "in", "app"]
    assert ["app", "100", "50", "90", "99", "100"] in lines
