"""Keys with scopes, their rotation, and the revocation of the key in use."""

import json
from collections.abc import Callable

import pytest

from plinth.client.home import api_key_file
from tests.support.command import run_command
from tests.support.stack import RunningStack, plinth_up

pytestmark = pytest.mark.process


def test_the_key_in_use_is_revoked_only_with_consent_and_a_restart_makes_another(
    start_stack: Callable[..., RunningStack],
) -> None:
    stack = start_stack()

    def run(*arguments: str, columns: int = 300):
        return run_command(*arguments, environment=stack.environment(), columns=columns)

    (key,) = json.loads(run("keys", "--json").stdout)["data"]
    assert key["is_current"] is True
    assert "in use by this command" in run("keys").stdout
    unasked = run("keys", "revoke", "first")
    assert unasked.returncode == 2
    assert "is the key of this command" in unasked.stderr
    assert run("keys").returncode == 0
    revoked = run("keys", "revoke", key["id"][:20], "--yes")
    assert revoked.returncode == 0, revoked.stderr
    assert "restart `plinth up`" in revoked.stdout
    secret = api_key_file(stack.home).read_text()
    deadline_runs = [run("jobs") for _ in range(3)]
    assert deadline_runs[-1].returncode == 1
    assert "A restart of `plinth up` replaces its own key" in deadline_runs[-1].stderr

    stack.process.terminate()
    stack.process.wait(20)
    with plinth_up(stack.home):
        assert api_key_file(stack.home).read_text() != secret
        assert api_key_file(stack.home).stat().st_mode & 0o777 == 0o600
        assert run("jobs").returncode == 0
        assert [row["revoked_at"] is None for row in json.loads(run("keys", "--json").stdout)["data"]] == [True, False]


def test_a_key_is_named_by_its_name(stack: RunningStack) -> None:
    def run(*arguments: str):
        return run_command(*arguments, environment=stack.environment())

    created = json.loads(run("keys", "create", "tablet", "--json").stdout)
    assert created["secret"].startswith("plinth_")
    assert run("keys", "revoke", "tablet").stdout == f"Revoked {created['id']}.\n"
    assert "No id" in run("keys", "revoke", "key_00").stderr


def test_the_limits_of_a_key_are_changed_and_removed(stack: RunningStack) -> None:
    def run(*arguments: str):
        return run_command(*arguments, environment=stack.environment(), columns=300)

    quotas = ("--max-jobs", "20", "--cpu-seconds-per-day", "14400")
    created = json.loads(run("keys", "create", "student", "--scope", "train", *quotas, "--json").stdout)
    assert (created["max_jobs"], created["cpu_seconds_per_day"]) == (20, 14_400)
    changed = run("keys", "update", "student", "--max-jobs", "none", "--requests-per-minute", "600")
    assert changed.stdout == "student may do: train 600/min 14400 CPU-s/day.\n"
    assert "train 600/min 14400 CPU-s/day" in run("keys").stdout
    assert "write a number, or none" in run("keys", "update", "student", "--max-jobs", "many").stderr
    assert "no limit to change" in run("keys", "update", "student").stderr
    with stack.client() as plinth:
        assert plinth.keys.update(created["id"], max_jobs=3).max_jobs == 3
        assert plinth.keys.create("assistant", max_jobs=5).max_jobs == 5


def test_a_key_is_created_with_what_it_may_do_and_rotated(stack: RunningStack) -> None:
    def run(*arguments: str, key: str | None = None):
        environment = stack.environment() | ({"PLINTH_API_KEY": key} if key else {})
        return run_command(*arguments, environment=environment, columns=300)

    options = ("--scope", "predict", "--model", "digits*", "--model", "reviews", "--expires", "90d")
    created = json.loads(run("keys", "create", "shop", *options, "--requests-per-minute", "600", "--json").stdout)
    assert (created["scope"], created["models"]) == ("predict", ["digits*", "reviews"])
    assert created["expires_at"] > created["created_at"]
    assert "predict digits*, reviews 600/min" in run("keys").stdout
    refused = run("jobs", key=created["secret"])
    assert refused.returncode == 1
    assert "plinth keys create NAME --scope train" in refused.stderr
    secret = run("keys", "rotate", "shop", "--grace", "0s").stdout.splitlines()[0]
    assert secret.startswith("plinth_")
    assert secret != created["secret"]
    assert "unknown, expired or revoked" in run("models", key=created["secret"]).stderr
    assert run("models", key=secret).returncode == 0
    wrong = run("keys", "create", "x", "--expires", "soon")
    assert wrong.returncode == 2
    assert "write a number and s, m, h or d" in wrong.stderr
