"""The flood's own parts: uploads that differ, the process behind a port, and once the whole in small."""

import os
import socket
from dataclasses import replace

import pytest

from benchmarks.flood import flood, listener, resident_mb, upload
from benchmarks.live import live
from benchmarks.setting import BenchmarkSetting


def test_no_two_uploads_are_alike_and_each_is_a_window():
    bodies = [upload(client, turn)[0] for client in range(2) for turn in range(2)]
    assert len(set(bodies)) == 4
    assert all(body.count(b'name="frames"') == 5 for body in bodies)


def test_the_process_behind_a_port_is_found_with_its_memory():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert listener(listening.getsockname()[1]) == os.getpid()
    assert resident_mb(os.getpid()) > 20


@pytest.mark.long
def test_many_clients_get_answers_and_the_api_stays_alive():
    (row,) = flood(replace(BenchmarkSetting(), scale=0.05)).rows
    assert set(str(row["of which"]).replace(":", "").split()[::2]) <= {"200", "429", "503"}
    assert "200: " in str(row["of which"])


@pytest.mark.long
def test_a_landed_scan_becomes_visible():
    section = live(replace(BenchmarkSetting(), runs=1, scale=0.5))
    assert all(float(row["slowest, s"] or 0) < 60 for row in section.rows)
