"""The Celery app: its settings, and the time limits of a real worker process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery

from core.settings import Settings
from service.process.broker import embedded
from service.tasks.queue import (
    BEAT,
    CYCLE,
    FORECASTS,
    JOBS,
    LOCAL_REDIS_URL,
    MAKE_FORECAST,
    QUEUES,
    RUN_JOB,
    TASK_NAMES,
    VERIFICATION,
    VERIFY,
    broker_url,
    own_queue,
    queue_settings,
    schedule,
    task_settings,
)
from tests.waiting import PATIENCE_S, wait_until

CYCLE_S = 300

TASKS = """
import time
from pathlib import Path
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import worker_init
from service.tasks.signals import warm_up  # registers the limits; the model is not needed here

worker_init.disconnect(warm_up)
app = Celery("limits", broker="{url}", backend="{url}")
app.conf.update(worker_pool="solo", task_acks_late=True, task_soft_time_limit=0.3, task_time_limit=5.0)

@app.task
def soft():
    try:
        time.sleep(600)
    except SoftTimeLimitExceeded:
        return "soft limit"

@app.task
def after():
    time.sleep(0.01)
    return "no limit is left"

@app.task
def hang_here():
    while True:
        try:
            time.sleep(600)
        except SoftTimeLimitExceeded:
            continue
"""


def test_a_lost_task_comes_back_after_any_task_has_ended_and_before_the_next_scan():
    settings = Settings()
    queue, task = queue_settings(settings), task_settings(settings)
    back_s = queue["broker_transport_options"]["visibility_timeout"]
    assert task["task_soft_time_limit"] < task["task_time_limit"] < back_s < CYCLE_S
    assert queue["broker_transport_options"]["unacked_restore_interval"] < 10
    assert task["task_acks_late"]
    assert task["task_reject_on_worker_lost"]
    assert task["worker_prefetch_multiplier"] == 1


def test_only_json_is_taken_and_answers_expire():
    queue = queue_settings(Settings())
    assert queue["accept_content"] == ["json"]
    assert queue["task_serializer"] == queue["result_serializer"] == "json"
    assert queue["result_expires"] <= 3600


def test_scheduled_tasks_expire_so_that_none_pile_up():
    for entry in schedule(Settings()).values():
        assert entry["options"]["expires"] <= entry["schedule"]


def test_nothing_of_the_schedule_leaves_a_result_and_a_late_forecast_is_dropped():
    assert all(entry["options"]["ignore_result"] for entry in schedule(Settings()).values())
    assert Settings().deadline_s < CYCLE_S


def test_a_score_never_keeps_a_forecast_waiting_and_a_proof_of_life_waits_for_neither():
    queue = queue_settings(Settings())
    assert queue["broker_transport_options"]["queue_order_strategy"] == "sorted"
    assert [one.name for one in queue["task_queues"]] == sorted(QUEUES) == [BEAT, FORECASTS, JOBS, VERIFICATION]
    assert BEAT < own_queue("worker@host") < FORECASTS
    assert queue["task_routes"][VERIFY] == {"queue": VERIFICATION}
    assert queue["task_routes"][RUN_JOB] == {"queue": JOBS}, "jobs of clients do not starve the schedule"
    assert not {MAKE_FORECAST, CYCLE} & queue["task_routes"].keys(), "they stay in the first queue"
    assert queue["result_backend_transport_options"]["visibility_timeout"] < CYCLE_S


def test_the_queue_is_the_one_of_the_settings():
    assert broker_url(Settings()) == LOCAL_REDIS_URL
    assert broker_url(Settings.model_validate({"redis_url": "redis://queue:6379/2"})) == "redis://queue:6379/2"


def test_importing_the_app_reads_no_settings():
    code = "import service.worker"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "NOWCAST_PROT": "wrong"}, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_message_queued_by_release_0_1_0_finds_its_task_after_an_upgrade():
    names_of_0_1_0 = {
        "service.tasks.make_forecast_task",
        "service.tasks.cycle_task",
        "service.tasks.verify_task",
        "service.tasks.sweep_task",
        "service.tasks.heartbeat_task",
        "service.jobs.job_tasks.run_job_task",
        "service.jobs.job_tasks.find_lost_jobs_task",
    }
    code = "from service.worker import queue; print(*(name for name in queue.tasks if name.startswith('service.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert names_of_0_1_0 <= set(done.stdout.split()), "the name of a task is part of the messages that wait in queues"
    assert names_of_0_1_0 <= set(TASK_NAMES)


def test_every_task_name_has_a_body_and_every_body_a_name_of_the_list():
    code = "from service.worker import queue; print(*(name for name in queue.tasks if name.startswith('service.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == set(TASK_NAMES)


def test_the_web_process_imports_neither_the_worker_nor_the_tasks_nor_the_handlers_of_its_signals():
    code = "import sys, service.app; print(*sorted(name for name in sys.modules if name.startswith('service.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "service.tasks.queue" in imported
    worker_only = {"worker", "tasks.signals", "tasks.forecasts", "tasks.jobs", "tasks.beat", "watchdog", "run"}
    assert not imported & {f"service.{name}" for name in worker_only}
    assert "service.telemetry.otlp" not in imported, "it is imported only where a receiver of traces is set"


def test_a_worker_registers_the_handlers_that_count_its_tasks_and_keep_its_limits():
    code = (
        "import service.worker; from celery import signals\n"
        "for name in ('task_prerun', 'task_postrun', 'task_revoked', 'worker_init', 'worker_ready', 'setup_logging'):\n"
        "    assert getattr(signals, name).receivers, name"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.stack
def test_the_solo_worker_keeps_its_time_limits(tmp_path: Path):
    broker = embedded(tmp_path)
    (tmp_path / "limits.py").write_text(TASKS.format(url=broker.url))
    command = [sys.executable, "-m", "celery", "-A", "limits", "worker", "--loglevel", "WARNING"]
    path = os.pathsep.join([str(tmp_path), str(Path.cwd())])
    app = Celery("client", broker=broker.url, backend=broker.url)
    with subprocess.Popen(broker.command) as server:
        try:
            wait_until(broker.answers, "queue server")
            with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE) as worker:
                try:
                    assert app.send_task("limits.soft").get(timeout=PATIENCE_S) == "soft limit"
                    assert app.send_task("limits.after").get(timeout=PATIENCE_S) == "no limit is left"
                    app.send_task("limits.hang_here")
                    _, stderr = worker.communicate(timeout=PATIENCE_S)
                finally:
                    worker.kill()
            assert worker.returncode == 1
            assert b"Timeout (0:00:05)!" in stderr
            assert b"in hang_here" in stderr
        finally:
            app.close()
            server.kill()
