"""docker-compose.yml: valid by Compose's own schema, and every service limited, checked and without rights."""

import ipaddress
import json
import re
import subprocess
import tomllib
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from core.settings import PREFIX, Settings
from tests.deploy.compose import compose
from tests.environments import ROOT

ENV = {
    "COMPOSE_PROFILES": "postgresql,tls",
    "NOWCAST_DATABASE_URL": "postgresql+psycopg://nowcast@postgres/nowcast",
    "NOWCAST_PUBLIC_URL": "https://rain.example.org",
    "SITE": "rain.example.org",
}
"""What `deploy/compose.env` has."""

WHOLE = compose(ENV)
SERVICES: dict[str, dict[str, Any]] = WHOLE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def schema() -> dict[str, Any]:
    """The schema of the Compose specification, as the package check-jsonschema has it."""
    found = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    document: dict[str, Any] = json.loads(found.read_text("utf-8"))
    return document


@pytest.mark.parametrize("variables", [{}, ENV])
def test_the_file_is_valid_by_the_schema_of_compose(variables):
    validator = jsonschema.validators.validator_for(schema())(schema())
    assert not [error.message for error in validator.iter_errors(compose(variables))]
    wrong = compose(variables)
    wrong["services"]["api"]["mem_limits"] = "1g"
    assert not validator.is_valid(wrong)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_limited_checked_and_without_rights(name):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) <= {"NET_BIND_SERVICE"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))
    assert re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"])
    assert not service["image"].endswith(":latest")


def test_only_the_ports_of_the_web_server_are_open_to_others():
    for name, service in SERVICES.items():
        opened = [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
        assert opened == (["80:80", "443:443"] if name == "caddy" else [])


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_of_a_part_is_a_setting(name):
    environment = OURS[name]["environment"]
    assert environment.keys() <= {PREFIX + field.upper() for field in Settings.model_fields}
    assert not any("PASSWORD" in variable for variable in environment)
    secrets = OURS[name]["secrets"]
    assert {secret.upper().removeprefix(PREFIX).lower() for secret in secrets} <= set(Settings.model_fields)
    assert set(secrets) == set(WHOLE["secrets"])
    assert OURS[name]["depends_on"]["redis"]["condition"] == "service_healthy"
    assert OURS[name]["depends_on"]["postgres"] == {"condition": "service_healthy", "required": False}


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_frozen_part_is_ended_by_its_health_check(name):
    kind, *command = OURS[name]["healthcheck"]["test"]
    part = {"worker-gpu": "worker", "alerter": "alerts"}.get(name, name)
    port = ["--port", "8000"] if name == "api" else []
    assert (kind, command) == ("CMD", ["python", "-m", "service.healthcheck", part, *port, "--end"])
    assert OURS[name]["init"]


def test_the_image_is_that_of_this_version_for_cpus_unless_it_is_the_gpu_profile():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, service in OURS.items():
        gpu = name == "worker-gpu"
        assert service["image"] == f"ms-rnn-nowcast:{version}{'-gpu' if gpu else ''}"
        assert (service["build"]["args"]["TORCH"] == "cpu") == (not gpu)
        assert (ROOT / service["build"]["dockerfile"]).is_file()
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert SERVICES["worker-gpu"]["command"] == SERVICES["worker"]["command"]


def test_the_api_trusts_the_web_server_alone_whose_address_no_other_service_gets():
    (config,) = WHOLE["networks"]["default"]["ipam"]["config"]
    address = ipaddress.ip_address(SERVICES["caddy"]["networks"]["default"]["ipv4_address"])
    (trusted,) = json.loads(SERVICES["api"]["environment"]["NOWCAST_TRUSTED_PROXIES"])
    assert list(ipaddress.ip_network(trusted)) == [address]
    assert address in ipaddress.ip_network(config["subnet"])
    assert address not in ipaddress.ip_network(config["ip_range"])
    caddyfile = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text("utf-8")
    for variable in ("SITE", "UPSTREAM"):
        assert variable in SERVICES["caddy"]["environment"]
        assert f"{{${variable}:" in caddyfile
    assert SERVICES["caddy"]["environment"]["UPSTREAM"] == "api:8000"


def test_the_database_of_the_profile_is_the_one_of_the_example():
    environment = SERVICES["postgres"]["environment"]
    expected = f"postgresql+psycopg://{environment['POSTGRES_USER']}@postgres/{environment['POSTGRES_DB']}"
    assert SERVICES["api"]["environment"]["NOWCAST_DATABASE_URL"] == expected
    example = (ROOT / "deploy" / "compose.env").read_text("utf-8").splitlines()
    assert dict(line.split("=", 1) for line in example if line and not line.startswith("#")) == ENV
    assert "NOWCAST_DATABASE_URL" not in compose()["services"]["api"]["environment"]


def test_make_secrets_writes_each_password_once(tmp_path):
    command = ["make", "--silent", "--file", str(ROOT / "Makefile"), "secrets"]
    for _ in range(2):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    written = sorted((tmp_path / "secrets").iterdir())
    assert [path.name for path in written] == sorted(WHOLE["secrets"])
    first = [path.read_text() for path in written]
    assert len(set(first)) == len(first)
    assert all(len(text.strip()) >= 32 for text in first)
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert [path.read_text() for path in written] == first
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    # Compose mounts a file with the mode that it has; the parts are no user of this machine
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in written)
