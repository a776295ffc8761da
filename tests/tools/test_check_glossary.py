from pathlib import Path

import pytest

from tests.tools.conftest import Plant, RunCheck
from tools import check_glossary

_TREE = {
    "app/jobs/schemas.py": "class Job: ...\n",
    "plinth/client/types.py": "class Job: ...\n",
    "store/tables/job.py": "class Job: ...\nclass _Hidden: ...\n",
    "ml/spec/schema.py": "class Spec: ...\nclass _Hidden: ...\n",
    "docs/glossary.toml": """
[[entry]]
word = "spec"
meaning = "The request of a user: what to train, on what."
carried_by = ["ml.spec.schema.Spec", "ml.spec"]

[[same_name]]
modules = ["app.*.schemas", "plinth.client.types", "store.tables.*"]
reason = "the table, its schema, and the schema as the client reads it"
""",
}


def test_words_that_code_carries_and_allowed_names_pass(run_check: RunCheck) -> None:
    assert run_check(check_glossary.main, _TREE) == []


def test_two_public_classes_of_one_name_are_reported_at_both_places(run_check: RunCheck) -> None:
    lines = run_check(check_glossary.main, _TREE | {"worker/jobs.py": "\nclass Spec: ...\n"})
    assert lines == [
        "ml/spec/schema.py:1: public class 'Spec' has the name of one in worker.jobs",
        "worker/jobs.py:2: public class 'Spec' has the name of one in ml.spec.schema",
    ]


def test_a_shared_name_is_allowed_once_in_each_listed_place(run_check: RunCheck) -> None:
    lines = run_check(check_glossary.main, _TREE | {"app/keys/schemas.py": "class Job: ...\n"})
    assert [line.partition(":")[0] for line in lines if "public class 'Job'" in line] == [
        "app/jobs/schemas.py",
        "app/keys/schemas.py",
        "plinth/client/types.py",
        "store/tables/job.py",
    ]


@pytest.mark.parametrize("name", ["ml.spec.schema.Unknown", "ml.unknown"])
def test_a_word_without_code_is_reported(run_check: RunCheck, name: str) -> None:
    glossary = _TREE["docs/glossary.toml"].replace('"ml.spec"', f'"{name}"')
    lines = run_check(check_glossary.main, _TREE | {"docs/glossary.toml": glossary})
    assert lines == [f"docs/glossary.toml:5: 'spec': {name} does not exist"]


def test_a_word_that_no_carrier_contains_is_reported(run_check: RunCheck) -> None:
    files = _TREE | {"ml/queue.py": "class BatchQueue: ...\n"}
    entries = {
        "batch queue": [],
        "training queue": ["docs/glossary.toml:11: 'training queue' occurs in no module that carries it"],
    }
    for word, lines in entries.items():
        entry = f'[[entry]]\nword = "{word}"\nmeaning = "Rows that wait."\ncarried_by = ["ml.queue"]\n'
        printed = run_check(check_glossary.main, files | {"docs/glossary.toml": _TREE["docs/glossary.toml"] + entry})
        assert [line.partition(": a search")[0] for line in printed] == lines


def test_a_word_that_is_listed_twice_is_reported(run_check: RunCheck) -> None:
    again = '[[entry]]\nword = "Spec"\nmeaning = "Another."\ncarried_by = ["ml.spec"]\n'
    lines = run_check(check_glossary.main, _TREE | {"docs/glossary.toml": _TREE["docs/glossary.toml"] + again})
    assert lines == ["docs/glossary.toml:11: 'Spec' is listed twice"]


def test_an_exemption_without_use_is_reported(run_check: RunCheck) -> None:
    (line,) = run_check(check_glossary.main, _TREE | {"app/jobs/schemas.py": "", "plinth/client/types.py": ""})
    assert "exemption for app.*.schemas, plinth.client.types, store.tables.* covers nothing" in line


def test_an_exemption_without_a_reason_is_an_error(plant: Plant) -> None:
    plant({"docs/glossary.toml": 'entry = []\n[[same_name]]\nmodules = ["a", "b"]\n'})
    with pytest.raises(ValueError, match="the exemption for a, b has no reason"):
        check_glossary.Glossary.load(Path("docs/glossary.toml"))
