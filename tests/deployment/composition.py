"""The composition and the Dockerfile, read as Docker reads them, as far as ours go."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
COMPOSE_FILE = REPOSITORY / "docker-compose.yml"
DOCKERFILE = REPOSITORY / "Dockerfile"
ENVIRONMENT_EXAMPLE = REPOSITORY / ".env.example"

VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?P<operator>:\?|:-)(?P<rest>[^}]*)\})")
SECONDS = {"h": 3600, "m": 60, "s": 1}


class Unset(Exception):
    """A variable that must have a value has none."""


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME:?message}`, `${NAME:-default}` and `$$`; another use of `$` is a mistake."""

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if value_value := variables.get(match["name"]):
            return value_value
        if match["operator"] == ":?":
            raise Unset(f"{match['name']}: {match['rest']}")
        return str(match["rest"])

    assert "$" not in VARIABLE.sub("", text), f"an interpolation this reader does not know: {text}"
    return VARIABLE.sub(value, text)


def services(variables: Mapping[str, str]) -> dict[str, Any]:
    """Each service by name, merged and with its variables filled in."""

    def fill(part: Any) -> Any:
        match part:
            case str():
                return interpolate(part, variables)
            case dict():
                return {key: fill(value) for key, value in part.items()}
            case list():
                return [fill(value) for value in part]
        return part

    composed: dict[str, Any] = fill(yaml.safe_load(COMPOSE_FILE.read_text()))["services"]
    return composed


def seconds(duration: str) -> float:
    """`1m30s` is 90."""
    parts = re.findall(r"(\d+)([hms])", duration)
    assert "".join(number + unit for number, unit in parts) == duration
    return float(sum(int(number) * SECONDS[unit] for number, unit in parts))


def image(target: str) -> dict[str, Any]:
    """Instructions of one stage of the Dockerfile; `environment` is merged."""
    stages: dict[str, dict[str, Any]] = {}
    stage: dict[str, Any] = {}
    for line in _instructions():
        instruction, rest = line.split(maxsplit=1)
        match instruction:
            case "FROM":
                base, _, name = rest.partition(" AS ")
                stage = {"environment": {}, **stages.get(base, {})}
                stages[name] = stage
            case "ENV":
                value_value = dict(word.split("=", 1) for word in shlex.split(rest))
                stage["environment"] = {**stage["environment"], **value_value}
            case "CMD" | "ENTRYPOINT":
                stage[instruction] = json.loads(rest)
            case "HEALTHCHECK":
                stage[instruction] = json.loads(rest.split(" CMD ", 1)[1])
            case _:
                stage[instruction] = rest
    return stages[target]


def _instructions() -> list[str]:
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()
