"""The console script `nowcast`: every command under one name, imported only when it is called."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.command import DISTRIBUTION, SUBCOMMANDS, app
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "ingest", "models", "training", "verification", "service", "benchmarks")
RUN_BY_PATH = {"service/process/leash.py", "service/command.py", "benchmarks/structure_trace.py"}
LOADED = "print(json.dumps(sorted(sys.modules)))"
HEAVY = {"torch", "celery", "fastapi", "numpy", "xarray", "pydantic"}


def _nowcast(*arguments, environment=None):
    """Run the console script in a fresh process, as pip's script does, and return what it printed."""
    code = f"import json, sys\nfrom service.command import main\ntry:\n    main()\nfinally:\n    {LOADED}"
    command = [sys.executable, "-c", code, *arguments]
    started = {**os.environ, **(environment or {})}
    return subprocess.run(command, cwd=ROOT, env=started, capture_output=True, text=True, timeout=PATIENCE_S)


def _modules_that_run():
    """Every module that does something when it is run by `python -m`."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            tests = (node.test for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.If))
            if any("__main__" in ast.unparse(test) for test in tests):
                yield str(path.relative_to(ROOT))


def _objects_of(path):
    """The `MODULE:NAME` of every top-level name in a file, under the modules where it is defined."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    module = path.removesuffix(".py").replace("/", ".")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}:{alias.name}" for alias in node.names)
        elif isinstance(node, ast.FunctionDef):
            yield f"{module}:{node.name}"
        elif isinstance(node, ast.Assign):
            yield from (f"{module}:{target.id}" for target in node.targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("path", sorted(set(_modules_that_run()) - RUN_BY_PATH))
def test_every_module_that_runs_has_a_subcommand(path):
    assert {one.place for one in SUBCOMMANDS} & set(_objects_of(path))


@pytest.mark.parametrize("one", SUBCOMMANDS, ids=lambda one: one.name)
def test_every_subcommand_has_help(one):
    result = CliRunner().invoke(app, [one.name, "--help"])
    assert result.exit_code == 0, result.output
    assert "--help" in result.output


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy_and_take_no_time(option):
    before = os.times()
    done = _nowcast(option)
    after = os.times()
    spent_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert done.returncode == 0, done.stderr
    *_, modules = done.stdout.splitlines()
    assert HEAVY & set(json.loads(modules)) == set()
    assert spent_s < 2  # 0.2 s; importing torch alone takes more


def test_the_version_is_the_package_s():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert stated["name"] == DISTRIBUTION
    assert stated["scripts"] == {"nowcast": "service.command:main"}
    done = _nowcast("--version")
    assert done.stdout.splitlines()[0] == version(DISTRIBUTION)


def test_a_subcommand_has_the_options_and_the_exit_status_of_python_m(tmp_path):
    arguments = ["--out", str(tmp_path / "a"), "--start", "2026-06-01T00:00Z", "--hours", "0.1"]
    assert _nowcast("synthetic", *arguments).returncode == 0
    assert len(list((tmp_path / "a").iterdir())) == 2
    for wrong, status in ((["synthetic", "--nonsense"], 2), (["predict", "--input", "absent", "--out", "x.nc"], 2)):
        module = {"synthetic": "ingest.synthetic", "predict": "models.predict"}[wrong[0]]
        by_module = subprocess.run(
            [sys.executable, "-m", module, *wrong[1:]], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert _nowcast(*wrong).returncode == by_module.returncode == status


def test_a_misspelt_subcommand_names_the_near_one():
    done = _nowcast("trian")
    assert done.returncode == 2
    assert "train" in done.stderr


LATER = [pytest.param(shell, marks=pytest.mark.long) for shell in ("zsh", "fish")]


@pytest.mark.parametrize("shell", ["bash", *LATER])
def test_completion_knows_subcommands_and_their_options(shell):
    script = _nowcast("--show-completion", shell, environment={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert "_NOWCAST_COMPLETE" in script.stdout

    def completed(words):
        environment = {"_NOWCAST_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": words}
        environment |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        environment |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        return _nowcast(environment=environment).stdout

    assert "synthetic" in completed("nowcast syn")
    assert "build" in completed("nowcast archive bu")
    assert "--source" in completed("nowcast archive build --so")


def test_the_error_of_a_command_needs_no_typer():
    code = "import sys, core.command; print('typer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
