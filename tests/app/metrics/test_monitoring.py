"""The dashboard and the alerts, answered by a real Prometheus that scrapes a real API."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from starlette.testclient import TestClient

from store import jobs
from store.database import transaction
from tests.support.api_process import ApiProcess
from tests.support.factories import claim_job, png, queue_job, register, shades
from tests.support.repository import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "prometheus"
RULES = FOLDER / "plinth_rules.yml"
DASHBOARD = json.loads((REPOSITORY / "deploy" / "grafana" / "plinth.json").read_text())
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
WAIT_SECONDS = 40.0
#: What Grafana fills in: the interval of a rate, and one value of each variable.
FILLED = {"$__rate_interval": "10s", "$job": ".*", "$instance": ".*", "$model": ".*"}
#: `expression > 0.05`, as every alert is written.
CONDITION = re.compile(r"(?P<value>.+) (?:<|>) (?P<threshold>[\d.e]+)", re.DOTALL)

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="needs prometheus and promtool: apt-get install prometheus",
)


def panel_queries() -> dict[str, str]:
    """Return the queries of the dashboard, by panel and its target."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    }


def rule_queries() -> dict[str, str]:
    """Return the recorded rules, and the values that alerts compare."""
    queries = {}
    for rule in (rule for group in GROUPS for rule in group["rules"]):
        condition = CONDITION.fullmatch(rule["expr"].strip()) if "alert" in rule else None
        queries[rule.get("alert") or rule["record"]] = condition["value"] if condition else rule["expr"]
    return queries


def fill(query: str) -> str:
    """Fill in the variables of Grafana, and shorten the ranges of time."""
    for name, value in FILLED.items():
        query = query.replace(name, value)
    return re.sub(r"\[\d+[mh]\]", "[10s]", query)


@pytest.fixture
def api(home: Path, tmp_path: Path) -> Iterator[ApiProcess]:
    """A service after some use: a model, jobs that wait, run and have failed."""
    register(shades(tmp_path / "package"), name="shades")
    claim_job(queue_job())
    queue_job()
    claim = claim_job(queue_job())
    with transaction() as session:
        jobs.fail(session, claim, error={"code": "bad_data", "message": "", "hint": None})
    with ApiProcess(home) as api:
        yield api


@contextmanager
def prometheus(api: ApiProcess, folder: Path) -> Iterator[httpx2.Client]:
    """Run a Prometheus with the configuration of the repository, which scrapes faster."""
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
    (job,) = configuration["scrape_configs"]
    job["static_configs"][0]["targets"] = [f"127.0.0.1:{api.port}"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    (folder / job["authorization"]["credentials_file"]).write_text(api.key)
    shutil.copy(RULES, folder)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data"}
    options |= {"web.listen-address": f"127.0.0.1:{port}", "log.level": "error"}
    with (folder / "log").open("wb") as log:
        command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v1/", timeout=20) as client:
                yield client
        finally:
            process.kill()
            process.wait()


def value_of(client: httpx2.Client, query: str) -> list[Any]:
    """Return the series of a query; [] while the server starts."""
    try:
        answer = client.get("query", params={"query": query})
    except httpx2.TransportError:
        return []
    assert answer.status_code in (200, 503), f"{query}: {answer.text}"
    return answer.json()["data"]["result"] if answer.status_code == 200 else []


@needs_prometheus
@pytest.mark.process
def test_every_query_of_the_dashboard_and_the_rules_has_an_answer(api: ApiProcess, tmp_path: Path) -> None:
    missing = {name: fill(query) for name, query in (panel_queries() | rule_queries()).items()}
    with prometheus(api, tmp_path) as client:
        deadline = time.monotonic() + WAIT_SECONDS
        while missing:
            assert time.monotonic() < deadline, f"no series: {missing}\n{(tmp_path / 'log').read_text()}"
            headers = {"Content-Type": "image/png"}
            assert api.request("POST", "/predict/shades", headers=headers, body=png(5))[0] == 200
            assert api.request("POST", "/predict/nothing", headers=headers, body=png(5))[0] == 404
            missing = {name: query for name, query in missing.items() if not value_of(client, query)}
            time.sleep(0.2)
        # The rules run there as they are.
        rules = client.get("rules").json()["data"]["groups"]
        assert {rule["health"] for group in rules for rule in group["rules"]} == {"ok"}
        (target,) = client.get("targets").json()["data"]["activeTargets"]
        assert (target["health"], target["labels"]["job"]) == ("up", "plinth")
        for variable in DASHBOARD["templating"]["list"][1:]:
            metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"]).groups()
            assert any(label in series["metric"] for series in value_of(client, fill(metric))), variable["name"]


@needs_prometheus
@pytest.mark.parametrize(
    "command", [("check", "rules", "plinth_rules.yml"), ("test", "rules", "plinth_rules_test.yml")]
)
def test_promtool_accepts_the_rules_and_each_alert_fires_when_it_should(command: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    alerts = {rule["alert"] for group in GROUPS for rule in group["rules"] if "alert" in rule}
    fires, *_ = yaml.safe_load((FOLDER / "plinth_rules_test.yml").read_text())["tests"]
    (expected,) = fires["promql_expr_test"]
    assert {re.search(r'"(\w+)"', sample["labels"])[1] for sample in expected["exp_samples"]} == alerts
    for rule in (rule for group in GROUPS for rule in group["rules"] if "alert" in rule):
        assert CONDITION.fullmatch(rule["expr"].strip()), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_dashboard_names_only_metrics_that_exist(client: TestClient, model: str) -> None:
    queue_job()
    headers = {"Content-Type": "image/png"}
    assert client.post(f"/predict/{model}", headers=headers, content=png(5)).status_code == 200
    exposition = client.get("/metrics").text
    exported = set(re.findall(r"^(\w+)", exposition, re.MULTILINE))
    queries = "\n".join([*panel_queries().values(), *rule_queries().values()])
    named = set(re.findall(r"(?<![:\w])(?:plinth|process)_\w+", re.sub(r"job\w*:\w+:\w+", "", queries)))
    assert named <= exported, named - exported


def test_the_panels_of_the_dashboard_have_places_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        own = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not own & cells, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells |= own
    sources = {target["datasource"]["uid"] for panel in panels for target in panel.get("targets", ())}
    assert sources == {"${datasource}"}
