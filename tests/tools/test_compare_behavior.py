"""The comparison lets renamed words pass, and nothing else."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.behavior.error_codes import in_openapi, in_source
from tools.behavior_snapshot import digest
from tools.compare_behavior import differences

WORDS = {"least_steps": "min_steps", "plinth_short_way": "plinth_fast_path_requests"}


def snapshot(**changes: Any) -> dict[str, Any]:
    body = {"outputs": [{"embedding": [0.5, 0.25]}], "least_steps": 3}
    schema = {"least_steps": {"type": "integer", "description": "Steps."}, "description": {"type": "string"}}
    facts = {
        "openapi": {
            "components": {"schemas": {"Schedule": {"properties": schema, "required": ["least_steps", "epochs"]}}}
        },
        "catalog": {"recipe": {"least_steps": 200}},
        "served_catalog": {},
        "metrics": {"plinth_short_way": {"type": "counter", "labels": ["model"]}},
        "error_codes": ["conflict", "not_found"],
        "runs": {"stripes": {"weights_sha256": "1", "tensors": {"a.least_steps": "F32 [2] 9"}}},
        "predictions": {"embedding": {"status": 200, "body": body, "sha256": digest(body)}},
    }
    return {**facts, **changes}


def renamed_by_hand() -> dict[str, Any]:
    text = json.dumps(snapshot()).replace("least_steps", "min_steps")
    after = json.loads(text.replace("plinth_short_way", "plinth_fast_path_requests"))
    prediction = after["predictions"]["embedding"]
    prediction["sha256"] = digest(prediction["body"])
    after["runs"]["stripes"]["weights_sha256"] = "2"
    return after


def paths(before: dict[str, Any], after: dict[str, Any], words: dict[str, str] = WORDS) -> list[str]:
    return [difference.path for difference in differences(before, after, words)]


def test_renamed_words_are_no_difference() -> None:
    assert paths(snapshot(), renamed_by_hand()) == []


def test_a_rename_that_is_not_in_the_table_is_one() -> None:
    assert "catalog.recipe.min_steps" in paths(snapshot(), renamed_by_hand(), {})


def test_the_order_of_names_and_the_wording_of_descriptions_are_none() -> None:
    after = renamed_by_hand()
    schema = after["openapi"]["components"]["schemas"]["Schedule"]
    schema["required"].reverse()
    schema["properties"]["min_steps"]["description"] = "Optimizer steps, over all epochs."
    assert paths(snapshot(), after) == []


@pytest.mark.parametrize(
    ("section", "keys", "value", "path"),
    [
        ("openapi", ("components", "schemas", "Schedule", "required"), ["min_steps"], "required[]"),
        (
            "openapi",
            ("components", "schemas", "Schedule", "properties", "description"),
            {},
            "properties.description.type",
        ),
        ("catalog", ("recipe", "min_steps"), 100, "catalog.recipe.min_steps"),
        ("metrics", ("plinth_fast_path_requests", "labels"), [], "labels[]"),
        ("predictions", ("embedding", "body", "outputs"), [{"embedding": [0.25, 0.5]}], "outputs[0].embedding[0]"),
        ("predictions", ("embedding", "status"), 500, "predictions.embedding.status"),
        ("predictions", ("embedding", "sha256"), "0", "predictions.embedding.sha256"),
        ("runs", ("stripes", "tensors", "a.min_steps"), "F32 [2] 8", "runs.stripes.weights_sha256"),
    ],
)
def test_every_other_difference_is_listed(section: str, keys: tuple[str, ...], value: Any, path: str) -> None:
    after = copy.deepcopy(renamed_by_hand())
    place = after[section]
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    assert any(listed.endswith(path) for listed in paths(snapshot(), after))


def test_a_code_that_is_gone_is_listed() -> None:
    assert paths(snapshot(), {**renamed_by_hand(), "error_codes": ["conflict"]}) == ["error_codes[]"]


def test_the_command_exits_with_1_unless_the_difference_is_intended(tmp_path: Path) -> None:
    before, after, intended = (tmp_path / name for name in ("before.json", "after.json", "intended.json"))
    before.write_text(json.dumps(snapshot()))
    after.write_text(json.dumps(snapshot(error_codes=["conflict"])))
    intended.write_text("[]")
    (tmp_path / "words.json").write_text("{}")
    command = [sys.executable, "-m", "tools.compare_behavior", before, after]
    options = ["--words", tmp_path / "words.json", "--intended", intended]
    refused = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert (refused.returncode, 'error_codes[]: "not_found"' in refused.stdout) == (1, True), refused.stderr
    intended.write_text(json.dumps([{"where": "error_codes*", "why": "no longer raised"}]))
    assert subprocess.run([*command, *options], capture_output=True, check=False).returncode == 0


SOURCE = """
from http import HTTPStatus
class DamagedPackage(Exception):
    code = "damaged_package"
class ProblemCode(StrEnum):
    QUEUE_FULL = "queue_full"
STATUS = {KeyError: (404, "not_found")}
def answer():
    raise ProblemError(HTTPStatus.CONFLICT, "conflict", "A sentence.")
    raise ProblemError(415, f"not_a_{noun}", "text")
    finding = Finding(code="missing", message="a_message", path="some_path")
    return {"code": "too_costly", "other": "no_code"}
"""


def test_codes_are_collected_by_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    entries = ", ".join(f'"issue_{number}": error("do this")' for number in range(20))
    (tmp_path / "app" / "errors.py").write_text(f"{SOURCE}\nISSUES = {{{entries}}}\n")
    issues = {f"issue_{number}" for number in range(20)}
    plain = {"damaged_package", "queue_full", "not_found", "conflict", "not_a_*", "missing", "too_costly"}
    assert set(in_source(tmp_path)) == plain | issues


def test_codes_of_an_openapi_document_are_those_of_examples_and_code_enums() -> None:
    document = {
        "components": {"schemas": {"ProblemCode": {"enum": ["gone"]}, "Task": {"enum": ["no_code"]}}},
        "paths": {"/x": {"get": {"responses": {"404": {"example": {"code": "not_found", "status": 404}}}}}},
    }
    assert in_openapi(document) == ["gone", "not_found"]
