"""A worker that completes nothing ends itself; a command checks from outside whether one completes a synthetic task."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError

from core.settings import Settings
from service.forecasts.catalogue import Catalogue
from service.tasks.queue import own_queue
from service.tasks.watchdog import EXIT_CODE, Watchdog, last_heartbeats, late_after_s
from tests.end_to_end.stack import ROOT, end, process_environment
from tests.service.queue_server import queue_server
from tests.waiting import PATIENCE_S, wait_until


class Bench:
    """A watchdog with a clock in the hand, a queue that may fail, and a worker that may sleep."""

    def __init__(self) -> None:
        self.now, self.sent, self.died, self.queue_fails = 0.0, 0, 0, False
        self.dog = Watchdog(self.send, 60, 180, die=self.die, clock=lambda: self.now)

    def send(self) -> None:
        if self.queue_fails:
            raise OperationalError("gone")
        self.sent += 1

    def die(self) -> None:
        self.died += 1

    def pass_s(self, seconds: int, *, completing: bool) -> None:
        for _ in range(seconds // 15):
            self.now += 15
            self.dog.look()
            if completing:
                self.dog.completed()


def test_a_worker_that_completes_its_tasks_lives_and_gets_one_a_minute():
    bench = Bench()
    bench.pass_s(3600, completing=True)
    assert (bench.sent, bench.died) == (60, 0)


def test_one_that_takes_no_more_tasks_ends():
    bench = Bench()
    bench.pass_s(600, completing=True)
    bench.pass_s(180, completing=False)
    assert not bench.died
    bench.pass_s(60, completing=False)
    assert bench.died


def test_an_outage_of_the_queue_is_not_the_workers_fault_but_what_follows_is():
    bench = Bench()
    bench.pass_s(120, completing=True)
    bench.queue_fails = True
    bench.pass_s(3600, completing=False)
    assert not bench.died
    bench.queue_fails = False
    bench.pass_s(180, completing=False)
    assert not bench.died
    bench.pass_s(75, completing=False)
    assert bench.died


def test_it_is_late_only_after_the_longest_task():
    for settings in (Settings(), Settings(heartbeat_s=1), Settings(task_limit_s=290)):
        assert late_after_s(settings) > settings.task_limit_s


@pytest.mark.long
@pytest.mark.stack
def test_the_command_reports_whether_a_real_worker_completes_a_synthetic_task(tmp_path: Path):
    with queue_server(tmp_path) as broker:
        environment = {
            **process_environment(),
            "NOWCAST_REDIS_URL": broker.url,
            "NOWCAST_HOME": str(tmp_path),
            "NOWCAST_MODEL": "persistence",
            "NOWCAST_HEARTBEAT_S": "0.5",
            "NOWCAST_TASK_LIMIT_S": "200",
        }
        name = "one@here"
        worker = [sys.executable, "-m", "celery", "--quiet", "-A", "service.worker", "worker", "-n", name]
        check = [sys.executable, "-m", "service.watchdog", "--within-s", str(PATIENCE_S), "--worker", name]
        catalogue = Catalogue(tmp_path)
        with subprocess.Popen(worker, env=environment, cwd=ROOT, stderr=subprocess.PIPE) as process:
            try:
                wait_until(lambda: last_heartbeats(catalogue.engine).any, "synthetic task", process=process)
                done = subprocess.run(
                    check, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
                )
                assert (done.returncode, done.stdout, done.stderr) == (0, "completed\n", "")
            finally:
                end(process)
        nobody = [*check[:-3], "1", "--worker", name]
        done = subprocess.run(nobody, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 1
        assert done.stderr == f"no synthetic task was completed within 1 s of the queue {own_queue(name)}\n"
        assert broker.url not in done.stdout + done.stderr
    done = subprocess.run(check, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert done.stderr.startswith("the queue does not answer: ")


DEAF = """
import time
from service.tasks.watchdog import Watchdog
dog = Watchdog(lambda: None, 0.05, 0.2)  # the queue takes every task, and nobody completes one
dog.start()
time.sleep(600)
"""


def test_a_process_that_ends_itself_prints_where_it_hangs():
    done = subprocess.run(
        [sys.executable, "-c", DEAF], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == EXIT_CODE
    assert "no task was completed" in done.stderr
    assert 'File "<string>", line 6' in done.stderr
