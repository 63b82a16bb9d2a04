"""/metrics: sums over processes, killed ones too; the state is the same from every process."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from core.errors import UnavailableError
from service.forecasts.periods import Period, counts_over
from service.process.broker import free_port
from tests.end_to_end.stack import ROOT, end, fetch, process_environment
from tests.service.api_support import NOW, REFERENCE, fill, frames_at, lead_times, running, service_at
from tests.waiting import wait_until
from verification.scores import scores_of, value_of
from verification.table import pooled

COUNT = """
import os, sys
from pathlib import Path
from service.telemetry.metric_files import keep_in_files
from service.telemetry.metrics import BATCH_SIZE, TASKS
keep_in_files(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    TASKS.labels("t", "success").inc()
    BATCH_SIZE.labels("m").observe(2)
if len(sys.argv) > 3:
    if os.fork() == 0:
        TASKS.labels("t", "success").inc(100)
        os._exit(0)
    os.wait()
print("counted", flush=True)
sys.stdin.read()
"""

SUM = """
import sys
from pathlib import Path
from service.telemetry.metric_files import counted, keep_in_files
keep_in_files(Path(sys.argv[1]))
registry = counted(Path(sys.argv[1]))
print(registry.get_sample_value("nowcast_tasks_total", {"task": "t", "outcome": "success"}),
      registry.get_sample_value("nowcast_batch_size_sum", {"model": "m"}))
"""


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of an exposition; the parser refuses what Prometheus would."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def value(text: str, name: str, labels: Mapping[str, str] | None = None) -> float | None:
    return samples(text).get((name, frozenset((labels or {}).items())))


def counting(home: Path, n: int, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", COUNT, str(home), str(n), *more]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def total(home: Path) -> list[float]:
    done = subprocess.run([sys.executable, "-c", SUM, str(home)], cwd=ROOT, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def test_counts_of_processes_add_up_live_or_killed_and_their_files_are_taken_over(tmp_path: Path):
    processes = [counting(tmp_path, 3), counting(tmp_path, 4, "fork")]
    assert total(tmp_path) == [107, 14]
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert total(tmp_path) == [107, 14]
    files = sorted(path.name for path in (tmp_path / "metrics").glob("*.db"))
    for _ in range(3):
        counting(tmp_path, 1).communicate()
    assert total(tmp_path) == [110, 20]
    assert sorted(path.name for path in (tmp_path / "metrics").glob("*.db")) == files


def test_a_folder_that_cannot_be_written_costs_the_sum_and_not_the_process(tmp_path: Path):
    (tmp_path / "metrics").write_text("in the way")
    process = counting(tmp_path, 3)
    process.communicate()
    assert process.returncode == 0


@pytest.mark.stack
def test_every_process_of_the_api_gives_the_same_sums(tmp_path: Path):
    port = free_port("127.0.0.1")
    document = {**process_environment(), "NOWCAST_HOME": str(tmp_path), "NOWCAST_MODEL": "persistence"}
    command = [sys.executable, "-m", "uvicorn", "service.app:app", "--port", str(port), "--workers", "2"]
    url, log, locks = f"http://127.0.0.1:{port}", tmp_path / "log", tmp_path / "metrics"
    with log.open("wb") as out, subprocess.Popen(command, env=document, cwd=ROOT, stdout=out, stderr=out) as process:
        try:

            def all_are_ready() -> bool:
                return all(fetch(f"{url}/readyz")[0] == 200 for _ in range(8)) and len(list(locks.glob("*.lock"))) == 2

            wait_until(all_are_ready, "two ready processes", log.read_text, process=process)
            for _ in range(30):
                assert fetch(f"{url}/livez")[0] == 200
            labels = {"method": "GET", "route": "/livez", "status": "200"}
            seen = []

            def both_have_answered() -> bool:  # 503 of one that still opens its store is none
                status, body = fetch(f"{url}/metrics")
                seen.extend([value(body.decode(), "nowcast_http_requests_total", labels)] if status == 200 else [])
                return len(seen) == 8

            wait_until(both_have_answered, "eight answers", log.read_text, process=process)
            assert set(seen) == {30}
        finally:
            end(process)


def test_scores_are_those_of_the_last_day(tmp_path: Path):
    now = NOW + timedelta(hours=3)
    service = service_at(tmp_path, clock=lambda: now)
    fill(service)
    for frame in frames_at(lead_times()):
        service.store.put(frame)
    service.forecast_stored(REFERENCE)
    service.verify_observed()
    with running(service) as client:
        text = client.get("/metrics").text
    rows = pooled(counts_over(service.catalogue.engine, Period(now - timedelta(hours=24), now)))
    names = {"csi": "csi", "hss": "hss", "pod": "pod", "far": "far", "bias": "frequency_bias", "ets": "ets"}
    assert set(names) <= set(scores_of("counts"))
    found = samples(text)
    for row in rows:
        labels = {"lead": str(row.lead_minutes), "threshold": f"{row.threshold_mmh:g}", "model": row.model}
        key = frozenset(labels.items())
        for score, name in names.items():
            assert found.get((f"nowcast_{name}", key)) == value_of(score, row.sums)
        assert found["nowcast_scored_cells", key] == row.sums.total
    assert len([name for name, _ in found if name == "nowcast_csi"]) == len(rows) == 45
    assert any(name == "nowcast_fss" for name, _ in found)


def test_a_part_that_does_not_respond_is_reported_with_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    url = f"redis://:secret-word@127.0.0.1:{free_port('127.0.0.1')}/0"
    service = service_at(tmp_path, redis_url=SecretStr(url))
    with running(service) as client:

        def broken(*_: object, **__: object) -> None:
            raise UnavailableError("the database is gone")

        monkeypatch.setattr(service.store, "products", broken)
        answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "secret-word" not in answer.text
    up = {part: value(answer.text, "nowcast_up", {"part": part}) for part in ("catalogue", "queue", "disk", "worker")}
    assert up == {"catalogue": 0, "queue": 0, "disk": 1, "worker": 1}
    assert value(answer.text, "nowcast_disk_free_bytes")


def test_frames_that_a_window_lacked_are_counted_once(tmp_path: Path):
    service = service_at(tmp_path)
    fill(service)
    first = service.store.scans()[1]
    first.path.unlink()
    labels = {"product": "RY"}
    with running(service) as client:
        before = value(client.get("/metrics").text, "nowcast_frames_missing_total", labels) or 0
        for _ in range(2):
            assert client.post("/nowcast", json={}).status_code == 200
        assert value(client.get("/metrics").text, "nowcast_frames_missing_total", labels) == before + 1


def test_no_request_makes_a_label_of_its_own(tmp_path: Path):
    with running(service_at(tmp_path)) as client:
        for path in ("/nope/1", "/nope/2", "/nowcast/3f0e6b1c-0000-4000-8000-000000000000"):
            client.get(path)
        client.request("BREW", "/livez")
        text = client.get("/metrics").text
    routes = {dict(labels)["route"] for name, labels in samples(text) if name == "nowcast_http_requests_total"}
    assert "/nowcast/{forecast_id}" in routes
    assert not any("nope" in route or "3f0e" in route for route in routes)
    assert value(text, "nowcast_http_requests_total", {"method": "other", "route": "/livez", "status": "405"})
