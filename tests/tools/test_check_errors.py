import pytest

from tests.tools.conftest import RunCheck
from tools import check_errors


def _raising(*statements: str) -> str:
    return "def read(value):\n" + "".join(f"    {statement}\n" for statement in statements)


@pytest.mark.parametrize(
    "statements",
    [
        ['raise DataError("there are no rows", hint="Upload more.")'],
        ['raise DataError(f"{value} has no rows; upload more")'],
        ['raise ProblemError(409, "conflict", "The job runs. Wait for its end.")'],
        ['raise ValueError("width must be even")'],
        ['raise BadParameter("name at least one job")'],
        ['detail = f"{value} is long. Shorten it."', 'raise ProblemError(422, "long", detail)'],
        ['raise SpecError(f"{value}", findings=[value])'],
        ["raise DataError(value)"],
        ['raise KeyError("no such row")'],
    ],
)
def test_an_error_with_a_next_step_or_a_requirement_passes(run_check: RunCheck, statements: list[str]) -> None:
    assert run_check(check_errors.main, {"app/jobs/routes.py": _raising(*statements)}, "app") == []


@pytest.mark.parametrize(
    ("path", "statements"),
    [
        ("ml/data/rows.py", ['raise DataError("there are no rows")']),
        ("ml/data/rows.py", ['raise errors.DataError("there are no rows", hint=None)']),
        ("app/jobs/routes.py", ['detail = f"The job {value} runs."', 'raise ProblemError(409, "conflict", detail)']),
        ("app/jobs/schemas.py", ['raise ValueError(f"{value} is odd")']),
        ("plinth/cli/train.py", ['raise typer.BadParameter("not a number", param_hint="--epochs")']),
        ("ml/spec/check.py", ['message = "two names are equal"', 'return Finding(code="conflict", message=message)']),
    ],
)
def test_an_error_that_only_says_what_is_wrong_is_reported(
    run_check: RunCheck, path: str, statements: list[str]
) -> None:
    (line,) = run_check(check_errors.main, {path: _raising(*statements)}, path.partition("/")[0])
    assert line.startswith(f"{path}:{1 + len(statements)}: ")
    assert line.endswith("has no next step; add a hint, or a clause after a semicolon")


def test_an_error_of_python_is_read_only_where_it_becomes_an_answer(run_check: RunCheck) -> None:
    code = _raising('raise ValueError("rows are ragged")')
    assert run_check(check_errors.main, {"ml/preprocessing/rows.py": code}, "ml") == []
