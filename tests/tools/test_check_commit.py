import pytest

from tests.tools.conftest import RunCheck
from tools import check_commit


@pytest.mark.parametrize(
    "subject",
    [
        "export: skip held-out rows that no request could contain",
        "app, worker: rename settings of processes",
        "ml/data: feed rows in order",
        "Merge branch 'guards'",
        "a: " + "b" * 69,
    ],
)
def test_a_scope_a_verb_and_an_object_pass(run_check: RunCheck, subject: str) -> None:
    assert run_check(check_commit.main, {"MESSAGE": f"{subject}\n\nWhoever reads this body.\n"}, "MESSAGE") == []


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        ("Skip held-out rows", "subject has no scope"),
        ("export: " + "b" * 65, "subject has 73 characters (limit 72)"),
        ("export: Skip rows", "'Skip' is no imperative verb in lower case"),
        ("export: skipped rows", "'skipped' is no imperative verb"),
        ("export: let no row stay", "'let' is no imperative verb"),
        ("export: skip rows.", "subject ends with a period"),
        ("export: skip rows of late", "'of late'; write: recently"),
    ],
)
def test_other_subjects_are_reported(run_check: RunCheck, subject: str, fault: str) -> None:
    (line,) = run_check(check_commit.main, {"MESSAGE": subject}, "MESSAGE")
    assert line.startswith("MESSAGE:1: ")
    assert fault in line
