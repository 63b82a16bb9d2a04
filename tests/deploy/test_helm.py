"""deploy/helm: drawn by helm, valid by the schemas of Kubernetes, one beat, and the commands of docker-compose.yml."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser as promql
import pytest
import yaml

from core.settings import PREFIX, Settings
from service.tasks.queue import FORECASTS
from tests.deploy.compose import compose
from tests.deploy.helm import CHART, drawn, helm
from tests.environments import python_with

EVERYTHING: dict[str, Any] = {
    "image": {"tag": "1.2.3", "pullSecrets": [{"name": "registry"}]},
    "redis": {"url": "rediss://nowcast@redis.example.org:6380/0"},
    "database": {"url": "postgresql+psycopg://nowcast@postgres/nowcast"},
    "files": {"url": "s3://rain/nowcast", "endpoint": "https://s3.example.org", "region": "eu-central-1"},
    "settings": {"NOWCAST_SOURCE_KIND": "directory", "NOWCAST_LEAD_MINUTES": "120"},
    "storage": {"storageClassName": "nfs"},
    "api": {
        "ingress": {"enabled": True, "className": "nginx", "tlsSecretName": "tls", "annotations": {"a": "b"}},
        "trustedProxies": ["10.0.0.0/8"],
    },
    "worker": {"autoscaling": {"enabled": True}, "nodeSelector": {"pool": "cpu"}},
    "gpu": {"enabled": True, "runtimeClassName": "nvidia"},
    "ingest": {"radarClaim": "radar"},
    "metrics": {"port": 9100, "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    "networkPolicy": {"ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}]},
    "podAnnotations": {"c": "d"},
    "priorityClassName": "high",
}
"""Every switch of the chart, on."""

NEEDED_VALUES = {"redis": {"url": "redis://redis:6379/0"}}
OF_KEDA = "ScaledObject"
SHOWN = {"worker", "worker-gpu", "alerter"}
"""Parts that show their counters on a port of their own."""

VERSIONS = ("1.27.0", "1.32.0", "1.37.0")
PARTS = {"api": "api", "worker": "worker", "worker-gpu": "worker-gpu", "beat": "beat", "alerter": "alerter"}
"""Parts of the chart, and the service of docker-compose.yml with the same command."""


def test_the_chart_names_settings_that_exist_and_its_secrets_too():
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert {name.removeprefix(PREFIX).lower() for name in values["settings"]} <= set(Settings.model_fields)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert compose()["services"]["api"]["image"].endswith(f":{chart['appVersion']}")
    for template in (CHART / "templates").iterdir():
        for word in template.read_text("utf-8").replace('"', " ").split():
            if word.startswith(PREFIX):
                assert word.strip(",}").removeprefix(PREFIX).lower() in Settings.model_fields


def merged(base: Any, changes: Any) -> Any:
    """Values with changes in them, as helm merges them."""
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    return base | {name: merged(base.get(name), change) for name, change in changes.items()}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, ""),
        (EVERYTHING, ""),
        ({"beat": {"replicas": 2}}, "replicas"),
        ({"worker": {"replica": 3}}, "replica"),
        ({"api": {"ingress": {"enable": True}}}, "enable"),
        ({"databse": {"url": ""}}, "databse"),
        ({"settings": {"HOME": "x"}}, "HOME"),
        ({"files": {"url": "https://rain.example.org"}}, "https"),
        ({"redis": {"url": "redis://:password@redis/0"}}, "password"),
        ({"database": {"url": "postgresql+psycopg://nowcast:password@postgres/nowcast"}}, "password"),
    ],
)
def test_a_misspelt_value_and_a_password_in_a_url_are_refused(changes, word):
    values = merged(yaml.safe_load((CHART / "values.yaml").read_text("utf-8")), NEEDED_VALUES)
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    errors = list(jsonschema.validators.validator_for(schema)(schema).iter_errors(merged(values, changes)))
    assert bool(errors) == bool(word)
    assert all(word in error.message for error in errors)


@pytest.mark.long
@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_helm_draws_what_kubernetes_accepts(values, tmp_path: Path):
    linted = helm("lint", "--strict", values=values, folder=tmp_path)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    resources = [one for one in drawn(tmp_path, values) if one["kind"] != OF_KEDA]
    python = python_with(Path(__file__).with_name("requirements_kubernetes.txt"))
    file = tmp_path / "resources.yaml"
    for version in VERSIONS:
        command = [str(python), "-m", "kubernetes_validate", "--strict", "--kubernetes-version", version, str(file)]
        file.write_text(yaml.safe_dump_all(resources))
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    wrong = [one | {"spec": one["spec"] | {"replicass": 1}} for one in resources if one["kind"] == "Deployment"]
    file.write_text(yaml.safe_dump_all(wrong))
    assert subprocess.run(command, capture_output=True, timeout=300).returncode != 0


@pytest.mark.long
def test_every_part_is_there_as_in_compose_and_beat_is_never_two(tmp_path: Path):
    found = deployments(drawn(tmp_path, EVERYTHING))
    assert set(found) == {*PARTS, "ingest"}
    for part, service in PARTS.items():
        command = compose()["services"][service]["command"]
        ours = [word for word in container(found[part])["command"] if not word.isdigit() or word == "8000"]
        assert ours == [word for word in shlex.split(command) if not word.isdigit() or word == "8000"]
    assert container(found["ingest"])["command"] == ["python", "-m", "ingest.run", "--source", "/radar"]
    for part in ("beat", "ingest", "alerter"):
        assert (found[part]["spec"]["replicas"], found[part]["spec"]["strategy"]) == (1, {"type": "Recreate"})
    refused = helm("template", "rain", values={"beat": {"replicas": 2}}, folder=tmp_path)
    assert refused.returncode != 0
    assert "replicas" in refused.stderr


@pytest.mark.long
def test_every_pod_has_no_rights_a_limit_and_probes(tmp_path: Path):
    for part, one in deployments(drawn(tmp_path, EVERYTHING)).items():
        pod, main = one["spec"]["template"]["spec"], container(one)
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert main["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert main["resources"]["limits"]["memory"]
        check = {"worker-gpu": "worker", "alerter": "alerts"}.get(part, part)
        if part == "api":
            assert main["livenessProbe"]["httpGet"]["path"] == "/livez"
            assert main["readinessProbe"]["httpGet"]["path"] == "/readyz"
        else:
            assert main["livenessProbe"]["exec"]["command"] == ["python", "-m", "service.healthcheck", check]
        variables = {each["name"]: each["value"] for each in main["env"]}
        assert {name.removeprefix(PREFIX).lower() for name in variables} <= set(Settings.model_fields)
        assert len(variables) == len(main["env"])
        assert variables["NOWCAST_LEAD_MINUTES"] == "120"
        assert variables["NOWCAST_DATABASE_URL"] == EVERYTHING["database"]["url"]
        shown = {port["name"]: port["containerPort"] for port in main.get("ports", ())}
        assert shown == ({"http": 8000} if part == "api" else {"metrics": 9100} if part in SHOWN else {})
        assert variables.get("NOWCAST_METRICS_PORT") == ("9100" if part in SHOWN else None)
        mounts = {mount["name"]: mount["mountPath"] for mount in main["volumeMounts"]}
        assert mounts["secrets"] == variables["NOWCAST_CREDENTIALS"]
        assert set(mounts) == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.long
def test_the_gpu_pool_and_the_scaling_by_queue_age_are_off_unless_switched_on(tmp_path: Path):
    plain, whole = drawn(tmp_path), drawn(tmp_path, EVERYTHING)
    assert "worker-gpu" not in deployments(plain)
    assert OF_KEDA not in {one["kind"] for one in plain}
    assert deployments(plain)["worker"]["spec"]["replicas"] == 2
    gpu = deployments(whole)["worker-gpu"]["spec"]["template"]["spec"]
    assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert gpu["containers"][0]["image"].endswith(":1.2.3-gpu")
    assert gpu["nodeSelector"]
    assert "replicas" not in deployments(whole)["worker"]["spec"]  # the scaler sets them
    (scaled,) = (one for one in whole if one["kind"] == OF_KEDA)
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployments(whole)["worker"]["metadata"]["name"]
    (trigger,) = scaled["spec"]["triggers"]
    promql.parse(trigger["metadata"]["query"])
    assert f'nowcast_queue_seconds_bucket{{queue="{FORECASTS}"}}' in trigger["metadata"]["query"]


@pytest.mark.long
def test_the_policies_let_requests_in_to_the_api_and_prometheus_to_the_counters(tmp_path: Path):
    policies = [one["spec"] for one in drawn(tmp_path, EVERYTHING) if one["kind"] == "NetworkPolicy"]
    everything, api, metrics = policies
    assert "app.kubernetes.io/component" not in everything["podSelector"]["matchLabels"]
    assert everything["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in everything
    assert api["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "api"
    assert api["ingress"] == [
        {"ports": [{"port": "http", "protocol": "TCP"}], "from": EVERYTHING["networkPolicy"]["ingressFrom"]}
    ]
    assert metrics["ingress"] == [
        {"ports": [{"port": "metrics", "protocol": "TCP"}], "from": EVERYTHING["metrics"]["from"]}
    ]
    (parts,) = metrics["podSelector"]["matchExpressions"]
    assert set(parts["values"]) == SHOWN
    assert {port["port"] for rule in everything["egress"] for port in rule["ports"]} == {53, 443, 6379, 5432}


@pytest.mark.long
@pytest.mark.parametrize(
    "values", [{"redis": {"url": ""}}, {"redis": {"url": "redis://:password@redis/0"}}, {"settings": {"HOME": "x"}}]
)
def test_wrong_values_are_refused(values, tmp_path: Path):
    assert helm("template", "rain", values=values, folder=tmp_path).returncode != 0


def deployments(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The Deployments by the part that they run."""
    label = "app.kubernetes.io/component"
    return {one["metadata"]["labels"][label]: one for one in resources if one["kind"] == "Deployment"}


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


@pytest.mark.long
def test_more_than_one_api_or_worker_needs_a_database_server(tmp_path: Path):
    """SQLite is of one node alone, and nothing says on which node a second pod is."""
    parts = ("api", "worker")
    server = {"database": EVERYTHING["database"]}
    three: dict[str, Any] = {**server, "api": {"replicas": 3}, "worker": {"replicas": 3}}
    cases: list[tuple[dict[str, Any], int]] = [({}, 1), (server, 2), (three, 3)]
    for values, count in cases:
        found = deployments(drawn(tmp_path, values))
        assert [found[part]["spec"]["replicas"] for part in parts] == [count, count]
    refused: list[dict[str, Any]] = [{part: {"replicas": 2}} for part in parts]
    refused += [{"worker": {"autoscaling": {"enabled": True}}}, {"gpu": {"enabled": True}}]
    for values in (*refused, {"files": {"url": "s3://rain/nowcast"}}):
        done = helm("template", "rain", values=values, folder=tmp_path)
        assert done.returncode != 0
        assert "database.url" in done.stderr


@pytest.mark.long
def test_with_a_bucket_no_volume_is_shared(tmp_path: Path):
    resources = drawn(tmp_path, EVERYTHING)
    assert "PersistentVolumeClaim" not in {one["kind"] for one in resources}
    for one in deployments(resources).values():
        volumes = {volume["name"]: volume for volume in one["spec"]["template"]["spec"]["volumes"]}
        assert volumes["live"]["emptyDir"]["sizeLimit"]
        variables = {each["name"]: each["value"] for each in container(one)["env"]}
        assert variables["NOWCAST_FILES_URL"] == "s3://rain/nowcast"
        assert variables["NOWCAST_FILES_ENDPOINT"] == "https://s3.example.org"
    alone = deployments(drawn(tmp_path, {}))["worker"]["spec"]["template"]["spec"]["volumes"]
    assert any("persistentVolumeClaim" in volume for volume in alone)
