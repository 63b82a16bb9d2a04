"""Programs of Debian without root: packages are unpacked below the ignored `build/`; small scripts start them there.

What is installed already stays as it is. `apt-get` gives the names of the packages that are missing, and the packages.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.environments import ROOT

ROOT_OF_PROGRAMS: Final = ROOT / "build" / "debian"
PROGRAMS: Final = {
    "caddy": "caddy",
    "cdo": "cdo",
    "debootstrap": "debootstrap",
    "gdalinfo": "gdal-bin",
    "gdallocationinfo": "gdal-bin",
    "nginx": "nginx",
    "openssl": "openssl",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
    "qgis-python": "python3-qgis qgis-providers",
}
"""Each program with its packages; `qgis-python` is Debian's Python with the packages of QGIS."""

LIBRARIES: Final = ("usr/lib/x86_64-linux-gnu", "usr/lib", "lib/x86_64-linux-gnu", "usr/lib/systemd")
SUBFOLDERS: Final = ("blas", "lapack", "openblas-pthread", "pulseaudio")
"""Of libraries that the scripts of their packages would link."""

NOT_RUN: Final = re.compile(r"-(dev|doc)$|^libjs-|^python3-(scipy|matplotlib|sympy)$|^unicode-data$")
"""Packages that no program of these needs to run."""

LIMIT_S: Final = 1800


def add_programs(names: list[str]) -> list[str]:
    """Unpack what is missing of some programs; gives a line for each one that is still missing."""
    missing = [name for name in names if found(name) is None]
    if not missing:
        return []
    if shutil.which("apt-get") is None:
        return [f"{name}: no apt-get on this machine" for name in missing]
    packages = sorted({package for name in missing for package in PROGRAMS[name].split()})
    try:
        _unpack(_needed(packages))
    except subprocess.SubprocessError as err:
        output = getattr(err, "stderr", None) or str(err)
        return [f"{name}: {str(output).strip().splitlines()[-1]}" for name in missing]
    for name in missing:
        _write_start(name)
    return [f"{name}: not in {PROGRAMS[name]}" for name in missing if found(name) is None]


def found(name: str) -> str | None:
    """The path of a program: the machine's, else the one that was unpacked."""
    return shutil.which(name, path=f"{path_of_programs()}:/usr/sbin:/sbin")


def path_of_programs() -> str:
    """The variable PATH with the folder of unpacked programs at its end."""
    return f"{_variable_path()}:{ROOT_OF_PROGRAMS / 'start'}"


def _variable_path() -> str:
    done = subprocess.run(["sh", "-c", 'echo "$PATH"'], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _needed(packages: list[str]) -> list[str]:
    """The packages that apt would add to this machine, as `name=version`; those it would renew are left out."""
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", "-o", "Debug::NoLocking=1", *packages]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    found_ones = re.findall(r"^Inst (\S+) \((\S+)", done.stdout, re.MULTILINE)
    return [f"{name}={version}" for name, version in found_ones if not NOT_RUN.search(name)]


def _unpack(packages: list[str]) -> None:
    files = ROOT_OF_PROGRAMS / "packages"
    files.mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "download", *packages]
    subprocess.run(command, cwd=files, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    for file in sorted(files.glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", str(file), str(ROOT_OF_PROGRAMS / "root")], check=True)
        file.unlink()


def _write_start(name: str) -> None:
    root = ROOT_OF_PROGRAMS / "root"
    program = next(
        (root / folder / name for folder in ("usr/bin", "usr/sbin") if (root / folder / name).exists()), None
    )
    if name == "qgis-python" and (root / "usr/lib/python3/dist-packages/qgis").exists():
        program = Path("/usr/bin/python3")
    if program is None:
        return
    folders = [f"{root / folder}" for folder in LIBRARIES]
    folders += [f"{root / LIBRARIES[0] / folder}" for folder in SUBFOLDERS]
    variables = {
        "LD_LIBRARY_PATH": ":".join(folders),
        "GDAL_DATA": f"{root}/usr/share/gdal",
        "PROJ_LIB": f"{root}/usr/share/proj",
        "DEBOOTSTRAP_DIR": f"{root}/usr/share/debootstrap",
        "QGIS_PREFIX_PATH": f"{root}/usr",
        "QT_PLUGIN_PATH": f"{root}/usr/lib/x86_64-linux-gnu/qt5/plugins",
        "QT_QPA_PLATFORM": "offscreen",
        "PYTHONPATH": f"{root}/usr/lib/python3/dist-packages",
    }
    kept = {key: value for key, value in variables.items() if key == "LD_LIBRARY_PATH" or _is_there(value)}
    lines = [f'export {key}="{value}"' for key, value in kept.items() if name == "qgis-python" or key != "PYTHONPATH"]
    start = ROOT_OF_PROGRAMS / "start" / name
    start.parent.mkdir(parents=True, exist_ok=True)
    start.write_text("\n".join(["#!/bin/sh", *lines, f'exec "{program}" "$@"', ""]))
    start.chmod(0o755)


def _is_there(value: str) -> bool:
    return not value.startswith("/") or Path(value).exists()
