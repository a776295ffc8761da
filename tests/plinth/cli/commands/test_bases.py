"""`plinth bases`: recipes, a base model that one makes, and recipes that do not exist."""

import json

import pytest

from tests.plinth.cli.commands.conftest import Run

pytestmark = pytest.mark.process


def test_a_recipe_makes_a_base_model_that_is_listed_and_can_be_started_from(plinth_command: Run) -> None:
    assert "recipe digits" in plinth_command("bases").stdout
    made = plinth_command("bases", "make", "digits", "--model", "recipe-base")
    assert made.returncode == 0, made.stderr
    assert "succeeded -> recipe-base@1" in made.stdout
    assert "recipe-base" in [base["name"] for base in json.loads(plinth_command("bases", "--json").stdout)["data"]]
    listed = plinth_command("bases").stdout
    assert "plinth train DATASET --from" in listed


def test_an_unknown_recipe_is_refused_with_the_known_ones(plinth_command: Run) -> None:
    failed = plinth_command("bases", "make", "digit")
    assert failed.returncode != 0
    assert "digits" in failed.stderr
