"""requirements.lock: every package of the image, by the version of constraints.txt and with hashes."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.environments import ROOT

AGAIN = "run `make lock`"
NOT_LOCKED = {"torch"}
"""Decision 0128."""


def locked() -> dict[str, tuple[str, str, int]]:
    """Version, marker and number of hashes of each package."""
    found: dict[str, tuple[str, str, int]] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text("utf-8").strip()):
        requirement, *hashes = block.split(" \\\n")
        name, version, marker = re.fullmatch(r"([\w.-]+)==([^ ;]+)(?: ; (.*))?", requirement).groups("")  # type: ignore[union-attr]
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", one) for one in hashes), name
        found[str(canonicalize_name(name))] = str(version), str(marker), len(hashes)
    return found


def pinned(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def test_every_package_has_hashes_and_the_pinned_version():
    pins = pinned(ROOT / "constraints.txt")
    for name, (version, marker, hashes) in locked().items():
        assert hashes > 0, f"{name}: {AGAIN}"
        old_python = "python_full_version < '3.11.3'" in marker  # a package that newer ones do without
        assert old_python or pins.get(name) == version, f"{name} {version} is not the pinned one: {AGAIN}"


def test_every_dependency_of_the_image_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["postgresql"], *extras["traces"]]
    names = {canonicalize_name(Requirement(one).name) for one in wanted}
    assert names - set(locked()) == NOT_LOCKED, AGAIN
    assert not NOT_LOCKED & set(locked())


def test_the_lock_names_no_address():
    assert "://" not in (ROOT / "requirements.lock").read_text("utf-8")
