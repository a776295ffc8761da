import pytest

from tests.tools.conftest import RunCheck
from tools import check_references

_TREE = {
    "ml/__init__.py": "",
    "ml/spec/__init__.py": "",
    "ml/spec/schema.py": "LIMIT: int = 3\nclass Spec:\n    kind = 1\n    def check(self):\n        self.issues = []\n",
    "plinth/__init__.py": "",
    "plinth/client/__init__.py": "",
    "plinth/client/client.py": "class Plinth:\n    def __init__(self):\n        self.jobs = 1\n",
    "docs/adding.md": "# Adding a `format`\n\n## What it needs, and why\n",
}


@pytest.mark.parametrize(
    "text",
    [
        "ml.spec",
        "ml.spec.schema",
        "ml.spec.schema:Spec",
        "python -m ml.spec.schema JOB",
        "see `ml.spec.schema.Spec.kind`",
        "ml.spec.schema.Spec.issues",
        "ml.spec.schema.LIMIT",
        "plinth.jobs.wait(1)",
        "plinth.db",
        "http://ml.spec.unknown",
        "self.ml.unknown",
        "app.state",
        "`ml/spec/schema.py`",
        "`ml/spec/`",
        "`ml/*/schema.py`",
        "`ml/spec/<name>.py`",
        "`unknown/folder/file.txt`",
        "from ml.spec.schema import LIMIT, Spec",
    ],
)
def test_existing_targets_and_words_that_are_no_reference_pass(run_check: RunCheck, text: str) -> None:
    files = _TREE | {"ml/a.py": f"text = {text!r}", "Makefile": f"up:\n\t{text}\n", "docs/a.md": f"```\n{text}\n```\n"}
    assert run_check(check_references.main, files, "ml", "docs", "Makefile") == []


@pytest.mark.parametrize(
    "text",
    [
        "ml.unknown",
        "ml.spec.schema.Unknown",
        "ml.spec.schema:unknown",
        "python -m ml.unknown JOB",
        "see `ml.spec.schema.Spec.unknown`",
        "plinth.unknown.wait(1)",
        "`ml/spec/unknown.py`",
        "`ml/unknown/`",
        "`ml/*/unknown.py`",
        "`ml/unknown/<name>.py`",
        "from ml.spec.schema import LIMIT, unknown",
    ],
)
def test_a_target_that_does_not_exist_is_reported_in_code_documents_and_build_files(
    run_check: RunCheck, text: str
) -> None:
    files = _TREE | {
        "ml/string.py": f"text = 1\nvalue = {text!r}",
        "ml/docstring.py": f'"""A row.\n\n{text}\n"""',
        "ml/comment.py": f"row = 1\n\n# See {text}\n",
        "Makefile": f"up:\n\t{text}\n",
        "docs/a.md": f"Text.\n\n```\n{text}\n```\n",
    }
    lines = run_check(check_references.main, files, "ml", "docs", "Makefile")
    places = [line.split(": ")[0] for line in lines]
    assert places == ["Makefile:2", "docs/a.md:4", "ml/comment.py:3", "ml/docstring.py:3", "ml/string.py:2"]


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("[a](adding.md)", None),
        ("[a](adding.md#what-it-needs-and-why)", None),
        ("[a](#here)", None),
        ("[a](https://example.org/unknown.md)", None),
        ("![a](unknown.png)", "link to 'unknown.png', which does not exist"),
        ("[a](../unknown.md)", "link to '../unknown.md', which does not exist"),
        ("[a]: unknown.md", "link to 'unknown.md', which does not exist"),
        ("[a](adding.md#unknown)", "link to 'adding.md#unknown': no heading has this anchor"),
        ("[a](#unknown)", "link to '#unknown': no heading has this anchor"),
    ],
)
def test_a_relative_link_leads_to_a_file_and_a_heading(run_check: RunCheck, link: str, fault: str | None) -> None:
    files = _TREE | {"docs/a.md": f"# Here\n\nText.\n{link}\n"}
    lines = run_check(check_references.main, files, "docs")
    assert lines == ([f"docs/a.md:4: {fault}"] if fault else [])
