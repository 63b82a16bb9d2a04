"""Environments of their own for programs whose packages do not fit next to ours; made once, in the ignored `build/`."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]


def python_with(requirements: Path) -> Path:
    """The Python of an environment with the packages of a file, which is made again when the file changes."""
    content = requirements.read_bytes()
    folder = ROOT / "build" / "environments" / f"{requirements.stem}-{hashlib.sha256(content).hexdigest()[:12]}"
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(requirements)]
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no environment of {requirements.name}: {done.stderr.strip().splitlines()[-1]}")
        stamp.touch()
    return python


def node_modules(*packages: str) -> Path:
    """The folder `node_modules` with packages of npm, each as `name@version`; made once, without their scripts."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine")
    digest = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:12]
    folder = ROOT / "build" / "environments" / f"npm-{digest}"
    stamp = folder / "installed"
    if not stamp.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(folder), "--no-save", "--ignore-scripts", *packages]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode:
            pytest.skip(f"npm does not give {', '.join(packages)}: {done.stderr.strip()[-300:]}")
        stamp.touch()
    return folder / "node_modules"
