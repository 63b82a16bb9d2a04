"""deploy/: every query of dashboard and alerts is PromQL, and selects metrics and labels that /metrics really has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from core.settings import Settings
from ingest.store.progress import Part, ProgressRecorder
from ingest.windows.series import SHORTEST_CADENCE_MINUTES
from ingest.worker.beat import Pause, SourceBeat, Totals, write_beat
from service.tasks.queue import MAKE_FORECAST, RUN_JOB, SCHEDULE, schedule
from service.tasks.watchdog import mark_completed
from service.telemetry import metrics
from tests.end_to_end.stack import ROOT
from tests.service.api_support import REFERENCE, fill, frames_at, lead_times, running, service_at
from tests.service.queue_server import queue_server
from tests.waiting import PATIENCE_S

DEPLOY = ROOT / "deploy"
ALERTS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "nowcast.json").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
QUERIES = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in BOARD["panels"] for target in panel["targets"]
]
OWN = frozenset({"up"})
"""Made by Prometheus itself."""


def selectors(node: Any) -> Iterator[tuple[str, frozenset[str]]]:
    """Every metric of a query, with the labels that it is chosen by."""
    if isinstance(node, promql.VectorSelector):
        yield str(node.name), frozenset(matcher.name for matcher in node.matchers.matchers)
    for name in ("expr", "lhs", "rhs", "vector_selector", "args"):
        below = getattr(node, name, None)
        for one in below if isinstance(below, list) else [below]:
            if one is not None and not isinstance(one, str | int | float):
                yield from selectors(one)


def grouped(query: str) -> frozenset[str]:
    """Labels that a query groups or matches by, and that its text shows."""
    lists = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", query)
    return frozenset(word.strip() for some in lists for word in some.split(",") if word.strip())


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of every metric of a service that works: with its queue, scans, scores and a worker's mark."""
    home, now = tmp_path_factory.mktemp("home"), [REFERENCE + timedelta(minutes=3)]
    with queue_server(home) as broker:
        service = service_at(home, clock=lambda: now[0], redis_url=SecretStr(broker.url))
        fill(service)
        service.forecast_stored(REFERENCE, scheduled=True)
        for frame in frames_at(lead_times()):
            service.store.put(frame)
        now[0] += timedelta(hours=3)
        service.verify_observed()
        for giver in (SCHEDULE, "worker", "alerts@host"):
            mark_completed(service.catalogue.engine, giver, datetime.now(UTC))
        for part in get_args(Part):
            ProgressRecorder(service.catalogue.engine, part, service.settings).record()
        service.store.quarantine(b"no radar file", "x.bin", "damaged")
        write_beat(service.store, now[0], Totals(), SourceBeat("folder", {}), Pause())
        with running(service) as client:
            client.get("/livez")
            text = client.get("/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        kinds = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        for suffix in kinds:  # a family that nothing was counted in yet is there by its name
            found[family.name + suffix] = set()
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    for metric in vars(metrics).values():
        for name in found:
            if hasattr(metric, "_labelnames") and name.startswith(metric._name):
                found[name].update(metric._labelnames, ["le"] if name.endswith("_bucket") else [])
    return found


@pytest.mark.stack
@pytest.mark.parametrize("query", QUERIES)
def test_every_query_asks_for_what_is_exposed(query: str, exposed: dict[str, set[str]]):
    selected = list(selectors(promql.parse(query)))
    assert selected
    known = {"job", *(label for name, _ in selected if name not in OWN for label in exposed.get(name, ()))}
    for name, labels in selected:
        assert name in exposed or name in OWN, name
        assert labels <= known, name
    assert grouped(query) <= known


@pytest.mark.stack
def test_the_names_of_the_survey_are_there(exposed: dict[str, set[str]]):
    expected = {
        "nowcast_forecast_age_seconds": set(),
        "nowcast_scan_latency_seconds": {"product"},
        "nowcast_inference_seconds_bucket": {"model", "version", "le"},
        "nowcast_queue_seconds_bucket": {"queue", "le"},
        "nowcast_batch_size_bucket": {"model", "le"},
        "nowcast_frames_missing_total": {"product"},
        "nowcast_csi": {"lead", "threshold", "model"},
        "nowcast_hss": {"lead", "threshold", "model"},
        "nowcast_frequency_bias": {"lead", "threshold", "model"},
        "nowcast_scan_age_seconds": {"product"},
    }
    assert {name: exposed.get(name) for name in expected} == expected


def test_the_parser_refuses_what_prometheus_would():
    for wrong in ("nowcast_up ==", "sum by (a nowcast_up)", "rate(nowcast_tasks_total)", "nosuch(nowcast_up)"):
        with pytest.raises(ValueError):
            promql.parse(wrong)


def test_alerts_have_what_prometheus_wants():
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
        assert rule["labels"]["severity"] in ("page", "warn")
        assert rule["annotations"]["summary"]
    expected = ("scan_age", "forecast_age", "heartbeat_age", "rejected_files", "disk_free", "nowcast_csi{")
    for part in expected:
        assert any(part in rule["expr"] for rule in RULES), part


def test_a_look_of_the_schedule_may_expire():
    """A worker that makes a forecast for half a minute leaves them in the queue, and each next one does the same."""
    (rule,) = (rule for rule in RULES if rule["alert"] == "TasksFail")
    (expired,) = re.findall(r'outcome="expired", task=~"([^"]+)"', rule["expr"])
    looks = [entry["task"].rpartition(".")[2] for entry in schedule(Settings()).values()]
    assert "cycle_task" in looks
    assert not [name for name in looks if re.fullmatch(expired, name)]
    assert {name.rpartition(".")[2] for name in (MAKE_FORECAST, RUN_JOB)} == set(expired.split("|"))


def test_each_alert_is_driven_over_its_threshold():
    cases = [
        test
        for case in yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yml").read_text())["tests"]
        for test in case["alert_rule_test"]
    ]
    assert {test["alertname"] for test in cases if test["exp_alerts"]} == {rule["alert"] for rule in RULES}
    assert {test["alertname"] for test in cases if not test["exp_alerts"]} == {rule["alert"] for rule in RULES}


def test_prometheus_raises_each_alert_where_it_should():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool (Debian: prometheus)")
    command = [promtool, "test", "rules", "alerts_test.yml"]
    done = subprocess.run(command, cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_missing_scan_is_no_alert():
    (rule,) = (rule for rule in RULES if rule["alert"] == "FramesMissing")
    windows_an_hour = 60 / SHORTEST_CADENCE_MINUTES
    assert float(rule["expr"].rpartition(">")[2]) >= 3 * windows_an_hour


def test_the_dashboard_is_what_grafana_wants():
    source = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())
    (datasource,) = source["datasources"]
    places: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, panel["title"]
        places |= cells
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {datasource["uid"]}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_compose_mounts_what_is_there_and_points_at_what_runs():
    services = COMPOSE["services"]
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["monitoring"]
        for volume in services[name]["volumes"]:
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert f"--port {port}" in services[host]["command"]
    mounted = {Path(volume.split(":")[1]) for name in ("prometheus", "grafana") for volume in services[name]["volumes"]}
    for file in config["rule_files"]:
        assert Path(file).parent in mounted
        assert (DEPLOY / "prometheus" / Path(file).name).is_file()
    boards = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "dashboards" / "nowcast.yml").read_text())
    assert Path(boards["providers"][0]["options"]["path"]) in mounted
