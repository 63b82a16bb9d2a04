"""Every command of README.md and of docs/start.md, run.

What is mapped, and nothing else:

- `make run` is the stack of the fixture (tests/end_to_end/test_stack.py checks that the target starts just that);
- `make test` is this very run: only the commands of the target are read;
- `.venv/bin/python` is the Python of the tests, http://127.0.0.1:8000 and `Client()` are the fixture's stack;
- `service.run` gets a free port, runs until its parts are there, and is stopped; the servers of DWD and EUMETNET do
  not answer;
- `training.run` gets the options of a few seconds' training; a command that needs data of the world outside
  (`events`) finds a short event that the test invents.
"""

import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from core.cf import rate_dataset
from ingest.synthetic import weather, write_weather
from service.process.broker import free_port
from tests.end_to_end.stack import ROOT, Stack, make_recipe, process_environment, running_stack
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.stack

README = (ROOT / "README.md").read_text()
START_PAGE = (ROOT / "docs" / "start.md").read_text()
FENCED = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = FENCED.findall(START_PAGE)
MAKE, CURL, SERVE, TRAIN = "make ", "curl", "-m service.run", "-m training.run"
BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
QUICK = {
    "moving_mnist": "--max-steps 1 --batch-size 1 --set hidden_channels=2 --set num_layers=2",
    "germany": "--max-steps 10 --batch-size 1 --set hidden_channels=2",
}


def lines(mark: str) -> list[str]:
    """The page's lines that hold `mark`."""
    return [line for block in BLOCKS for line in block.splitlines() if mark in line]


def some(mark: str, *later: str) -> list[object]:
    """The same lines as parameters; those with one of the further words run in `make test-long`."""
    long = [pytest.mark.long]
    return [pytest.param(line, marks=long if set(later) & set(line.split()) else []) for line in lines(mark)]


def test_every_block_is_run_by_a_test_below():
    assert [next((mark for mark in (MAKE, SERVE, TRAIN, CURL) if mark in block), None) for block in BLOCKS] == [
        *(MAKE, MAKE),
        *(CURL, CURL, CURL),
        SERVE,
        TRAIN,
    ]
    assert FENCED.findall(README) == BLOCKS[:2], "the README has the two commands that a newcomer needs"
    assert README.index("make run") < README.index("make test")


def test_the_first_two_commands_set_up_run_and_test():
    assert lines(MAKE) == ["make run", "make test"]
    # every test: nothing is chosen or left out
    side_by_side = "-n logical --maxprocesses 4 --dist loadfile"
    for target, expected in (("run", "-m service.run"), ("test", f"-m pytest {side_by_side}")):
        *_, install_peers, install, _, last = make_recipe(target, "--always-make")
        assert install_peers == ".ci/install .venv/bin/python --no-deps -r benchmarks/mlcast.txt"
        assert install == ".ci/install .venv/bin/python -c constraints.txt -e '.[dev]'"
        assert last.endswith(expected)


@pytest.mark.parametrize("block", [block for block in BLOCKS if CURL in block])
def test_the_requests(block: str, stack: Stack, tmp_path: Path):
    stack.first_forecast()
    script = 'curl() { command curl --fail-with-body --max-time 100 "$@" && echo; }\n' + mapped(block, stack.url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr + stack.log()
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    requests = re.findall(r"^curl .*?(?<!\\)$", block, re.MULTILINE | re.DOTALL)
    files = [match[1] for request in requests if (match := re.search(r" -o (\S+)", request))]
    assert len(answers) == len(requests) - len(files)
    assert all((tmp_path / name).stat().st_size > 1000 for name in files)
    uploaded = [answer for answer in answers if answer.get("origin") == "upload"]
    assert len(uploaded) == ("observations=" in block)
    for answer in uploaded:
        assert answer["verification"]["kind"] == "this_forecast"
        assert {score["model"] for score in answer["verification"]["scores"]} > {"persistence", "extrapolation"}


def test_the_lines_of_python(stack: Stack, tmp_path: Path):
    stack.first_forecast()
    (block,) = re.findall(r"^```python\n(.*?)^```", START_PAGE, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", block.replace("Client()", f"Client({stack.url!r})")],
        cwd=tmp_path,
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rain.png").read_bytes().startswith(b"\x89PNG")
    with xr.open_dataset(tmp_path / "rain.nc") as forecast:
        assert forecast["rainfall_rate"].shape[0] == 30


@pytest.mark.parametrize("line", some(SERVE, "--dwd", "--ord"))
def test_the_ways_to_start(line: str, tmp_path: Path):
    write_weather(tmp_path / "radar", BEGIN, hours=0.1)
    arguments = shlex.split(line.split(SERVE)[1])
    nowhere = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    environment = {"NOWCAST_MODEL": "persistence", "NOWCAST_DWD_URL": nowhere, "NOWCAST_ORD_URL": nowhere}
    with running_stack(tmp_path, *arguments, cwd=tmp_path, environment=environment) as started:
        expected = {"queue", "api", "worker", "ingest"}
        started.wait_until(lambda: started.parts().keys() >= expected and started.get("/livez"), "whole tree")
        if not {"--dwd", "--ord"} & set(arguments):
            started.wait_until(lambda: (scans := started.get("/scans")) and scans["count"] == 2, "stored scan")


@pytest.mark.parametrize("line", some(TRAIN, "germany"))
def test_the_trainings(line: str, tmp_path: Path):
    events = tmp_path / "events"
    events.mkdir()
    frames = list(weather(BEGIN, hours=8, step_minutes=30))
    rate_mmh_THW = np.stack([frame.rate_mmh_HW for frame in frames])
    dataset = rate_dataset(rate_mmh_THW, [frame.valid_time for frame in frames], frames[0].grid)
    dataset.to_netcdf(events / "invented.nc")
    (quick,) = (options for name, options in QUICK.items() if name in line)
    done = subprocess.run(
        shlex.split(f"{mapped(line, '')} {quick}"),
        cwd=tmp_path,
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / shlex.split(line)[shlex.split(line).index("--out") + 1]
    for name in ("last.ckpt", "metrics.csv", "config.yaml", "checkpoint"):
        assert (run / name).exists(), name


def test_every_file_that_the_readme_names_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r"`([\w./-]+\.(?:py|yml|toml|txt)|deploy/\w+)`", README)
    assert {"docs/images/map.png", "docs/start.md", "docs/index.md"} <= set(links)
    assert [name for name in links if not (ROOT / name).exists()] == []


def mapped(text: str, url: str) -> str:
    return text.replace(".venv/bin/python", sys.executable).replace("http://127.0.0.1:8000", url)
