"""Alerts while the process of rules and the worker are killed: each event is delivered, no key is accepted twice."""

import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.grid import RADOLAN_900
from service.alerts.tables import RuleEventRow
from tests.end_to_end import twelve_hours
from tests.end_to_end.alert_run import (
    Killer,
    assert_delivered_once,
    post_rules,
    records_of,
    rows_of,
    scheduled,
    settle,
)
from tests.end_to_end.receivers import http_receiver
from tests.end_to_end.stack import fetch, running_stack
from tests.end_to_end.twelve_hours import newest_scan
from tests.service.alerts.playing import sent_rules

pytestmark = [pytest.mark.stack, pytest.mark.long]

KILLS = 20
MOST_KILLS = 200
RULES = 60


def busy_rules() -> list[dict[str, Any]]:
    """Rules that raise many alerts in the invented weather."""
    sent = sent_rules(RULES, seed=5, grid=RADOLAN_900)
    return [{**one, "probability": 0.3, "dry_minutes": 0} for one in sent]


def test_twenty_kills_lose_no_event_and_no_key_is_accepted_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    environment = {"NOWCAST_ALERT_NETWORKS": '["127.0.0.1/32"]', "NOWCAST_MEMBERS": "0", "NOWCAST_CYCLE_S": "1"}
    with (
        http_receiver(refuse=0.05) as (url, accepted),
        running_stack(tmp_path, "--speed", "30", environment=environment) as stack,
    ):
        stack.first_forecast()
        post_rules(partial(fetch, stack.url + "/rules"), busy_rules(), [{"kind": "webhook", "url": url}])
        records = records_of(stack)
        killer = Killer(stack, ("alerts", "worker"), (0.5, 6.0), MOST_KILLS, lambda: len(scheduled(records)))
        killer.start()

        def is_enough() -> bool:  # a fast machine has killed twenty times before much has happened: it goes on
            return killer.killed.total() >= KILLS and len(rows_of(records, RuleEventRow)) > RULES

        stack.wait_until(lambda: is_enough() or killer.is_done, "twenty kills and enough events", within_s=1200)
        killer.stop()
        stack.send("radar", signal.SIGSTOP)
        settle(stack, records, lambda: newest_scan(stack), within_s=300)
        counts = assert_delivered_once(records, {"webhook": accepted})
    assert killer.killed.total() >= KILLS
    assert counts["events"] > RULES
    with capsys.disabled():
        print(counts, dict(killer.killed))


def test_an_hour_of_german_rain_gives_what_a_plain_script_works_out(tmp_path: Path, shared_data: Path):
    counts = twelve_hours.run(shared_data / "events", tmp_path, hours=1, rules=300, kills=5)
    assert counts["is_whole"]
    assert counts["events"] > 100
