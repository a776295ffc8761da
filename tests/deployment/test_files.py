"""The Dockerfile, the composition and the example of its settings, without running them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from plinth.installation import DISTRIBUTION
from tests.deployment.composition import (
    COMPOSE_FILE,
    DOCKERFILE,
    ENVIRONMENT_EXAMPLE,
    REPOSITORY,
    VARIABLE,
    Unset,
    image,
    interpolate,
    seconds,
    services,
)
from worker.settings import WorkerSettings

SECRETS = dict.fromkeys(("PLINTH_API_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD", "MINIO_ROOT_PASSWORD"), "0123abcd")
SERVICES = services(SECRETS)
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
ONE_SHOT = {
    awaited
    for service in SERVICES.values()
    for awaited, how in service.get("depends_on", {}).items()
    if how["condition"] == "service_completed_successfully"
}
PROJECT_TEXTS = ("LICENSE", "README.md")


def run(tool: str, *arguments: str | Path) -> str:
    command = [Path(sys.executable).with_name(tool), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert run("hadolint", DOCKERFILE) == ""


def test_the_composition_is_one() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE_FILE)


def test_interpolation_is_as_docker_does_it() -> None:
    assert interpolate("${A:-x}${B:-}$$", {"A": "1"}) == "1$"
    with pytest.raises(Unset, match="A: see there"):
        interpolate("${A:?see there}", {"A": ""})


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_starts_without_each_secret(secret: str) -> None:
    with pytest.raises(Unset, match=secret):
        services({**SECRETS, secret: ""})


def test_the_example_names_every_variable_and_its_default() -> None:
    used = {match["name"]: match for match in VARIABLE.finditer(COMPOSE_FILE.read_text())}
    shown = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", ENVIRONMENT_EXAMPLE.read_text(), re.MULTILINE))
    assert shown == {name: match["rest"] if match["operator"] == ":-" else "" for name, match in used.items()}
    required = {name for name, match in used.items() if match["operator"] == ":?"}
    assert required == set(re.findall(r"^([A-Z_]+)=$", ENVIRONMENT_EXAMPLE.read_text(), re.MULTILINE)) == set(SECRETS)


def test_only_the_api_is_published_and_only_to_this_machine() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "api": ["127.0.0.1:8000:8000"]
    }
    networks = yaml.safe_load(COMPOSE_FILE.read_text())["networks"]
    assert networks["inside"] == {"internal": True}
    with_a_way_out = {name for name, service in SERVICES.items() if service["networks"] != ["inside"]}
    assert with_a_way_out == {"api", "webhooks", "remote-worker"}


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_is_locked_up(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_a_health_check_or_is_awaited_to_its_end(name: str) -> None:
    assert ("healthcheck" in SERVICES[name]) != (name in ONE_SHOT)
    assert SERVICES[name]["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - OURS.keys()))
def test_images_of_other_publishers_are_pinned(name: str) -> None:
    assert re.search(r":\D*\d+\.\d+|:RELEASE\.\d{4}", SERVICES[name]["image"])


@pytest.mark.parametrize("name", OURS)
def test_each_image_serves_by_itself_as_it_does_in_the_composition(name: str) -> None:
    service, built = SERVICES[name], image(OURS[name]["build"]["target"])
    assert "ENTRYPOINT" not in built
    assert "entrypoint" not in service
    assert (built["USER"], built["STOPSIGNAL"]) == ("10001:0", "SIGTERM")
    if name not in ONE_SHOT:
        assert service["command"] == built["CMD"]
        assert service["healthcheck"]["test"] == ["CMD", *built["HEALTHCHECK"]]


def test_the_gpu_worker_is_the_worker_with_a_gpu() -> None:
    gpu, cpu = SERVICES["worker-gpu"], SERVICES["worker"]
    assert gpu["profiles"] == ["gpu"]
    assert gpu["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    ]
    own = {"profiles", "deploy", "environment", "volumes"}
    assert {key: gpu[key] for key in gpu.keys() - own} == {key: cpu[key] for key in cpu.keys() - own}
    assert gpu["environment"] == {**cpu["environment"], "PLINTH_DEVICE": "cuda"}


def test_the_remote_worker_is_the_worker_with_the_published_addresses_of_the_stores() -> None:
    variables = {**SECRETS, "PLINTH_STORES_HOST": "10.0.0.1"}
    remote, local = services(variables)["remote-worker"], SERVICES["worker"]
    assert (remote["profiles"], remote["depends_on"], remote["networks"]) == (["remote"], {}, ["outside"])
    own = {"profiles", "depends_on", "networks", "environment"}
    assert {key: remote[key] for key in remote.keys() - own} == {key: local[key] for key in local.keys() - own}
    hosts = {"postgres": "5432", "valkey": "6379", "minio": "9000"}
    expected = dict(local["environment"])
    for name in ("PLINTH_DATABASE_URL", "PLINTH_REDIS_URL", "PLINTH_S3_ENDPOINT_URL"):
        expected[name] = re.sub(r"\b(postgres|valkey|minio)(?=:\d)", "10.0.0.1", expected[name])
    assert remote["environment"] == expected
    published = yaml.safe_load((REPOSITORY / "deploy" / "stores.yaml").read_text())["services"]
    ports = {host: service["ports"][0].rpartition(":")[2] for host, service in published.items()}
    assert ports == hosts


def test_a_worker_is_given_longer_to_stop_than_it_gives_a_run() -> None:
    assert seconds(SERVICES["worker"]["stop_grace_period"]) >= WorkerSettings().drain_seconds + 10


def test_the_images_hold_every_package_and_nothing_else() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert f"mkdir {' '.join(packages)} " in DOCKERFILE.read_text()
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert let_through == {*(f"{name}/" for name in packages), "constraints.txt", "pyproject.toml", *PROJECT_TEXTS}


def test_the_api_image_has_no_torch_and_all_images_can_send_traces() -> None:
    extras: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    chosen = {name: OURS[name]["build"]["args"]["EXTRA"] for name in OURS}
    api, worker = "api,telemetry", "server,telemetry"
    assert chosen == {
        "api": api,
        "migrate": api,
        "webhooks": api,
        "worker": worker,
        "worker-gpu": worker,
        "remote-worker": worker,
    }
    own = extras["api"] + extras["telemetry"]
    assert not any(requirement.startswith(("torch", f"{DISTRIBUTION}[")) for requirement in own)
    assert any(requirement.startswith("torch") for requirement in extras["server"])
