"""A process that computes still answers: what gives way to what, and what is never collected."""

import gc
import os
import subprocess
import sys
import threading

from service.process.responsive import SWITCH_INTERVAL_S, LibraryThreads, gc_frozen_after


def test_what_is_there_at_the_end_is_never_collected_and_nothing_is_in_between():
    before = gc.get_freeze_count()
    try:
        with gc_frozen_after():
            assert not gc.isenabled()
            kept: list[list[int]] = [[] for _ in range(1000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before + len(kept)
    finally:
        gc.unfreeze()


def test_a_failure_turns_the_collector_on_again():
    try:
        with gc_frozen_after():
            raise ValueError
    except ValueError:
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_threads_of_libraries_give_way_once_and_those_of_python_never(tmp_path):
    lowered: list[int] = []
    threads = LibraryThreads(tmp_path, lowered.append)
    own = threading.get_native_id()
    for number in (own, 7, 8):
        (tmp_path / str(number)).mkdir()
    threads.lower_known()
    assert lowered == []  # one that starts right now may be Python's
    threads.lower_known()
    assert sorted(lowered) == [7, 8]
    (tmp_path / "8").rmdir()
    (tmp_path / "9").mkdir()
    threads.lower_known()
    (tmp_path / "8").mkdir()  # another thread with a number that was used before
    threads.lower_known()
    threads.lower_known()
    assert lowered[2:] == [9, 8]


def test_without_such_a_folder_nothing_happens(tmp_path):
    LibraryThreads(tmp_path / "none").lower_known()


def test_the_process_of_the_api_alone_is_changed(tmp_path):
    code = (
        "import sys, gc; from fastapi.testclient import TestClient; from service.app import create_app\n"
        "with TestClient(create_app()) as client:\n"
        "    assert client.app.state.backend.wait_warm(60)\n"
        "    print(sys.getswitchinterval(), gc.get_freeze_count() > 100_000, gc.isenabled())\n"
    )
    environment = {**os.environ, "NOWCAST_HOME": str(tmp_path), "NOWCAST_MODEL": "persistence"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(SWITCH_INTERVAL_S), "True", "True"]
