"""The machine's clock is stepped by a minute while the system runs: the next cycle is right, nothing doubled or lost.

Every process of the tree (Python, the queue server, SQLite) gets its wall clock from `stepped_clock.c`, which the C
compiler builds here; the monotonic clock goes on, as it does when an operator or NTP steps a real one. Debian's
libfaketime 0.9.10 does not do: its `clock_nanosleep` fails in Python's `time.sleep`.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.synthetic import weather
from tests.end_to_end.clock import Clock, clock_library
from tests.end_to_end.forecast_checks import assert_counts_are_those_of_the_files, assert_each_forecast_once
from tests.end_to_end.stack import Stack, fetch, land, running_stack
from tests.end_to_end.test_outages import stores_of

pytestmark = [pytest.mark.stack, pytest.mark.long]

HISTORY_H = 3.5
STEPS_S = (60, -60, 0)
"""Offsets from the true time, one after the other: a minute forward, two back, one forward."""

AGE_OFF_S = 20.0
START_S = 240.0
CYCLE_S = 90.0
"""Less than the clock is stepped back by: what waits for the wall clock to come again is late."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = clock_library(tmp_path_factory.mktemp("clock"))
    if made is None:
        pytest.skip("no C compiler `cc` on a Linux: the clock of other processes is not stepped here")
    return made


def await_forecast_of(stack: Stack, at: datetime, within_s: float = CYCLE_S) -> Any:
    def look() -> Any:
        latest = stack.get("/nowcast/latest")
        return latest if latest and datetime.fromisoformat(latest["reference_time"]) == at else None

    return stack.wait_until(look, f"forecast of the scan of {at}", within_s=within_s)


def test_a_clock_that_is_stepped_by_a_minute(tmp_path: Path, library: Path):
    clock, folder = Clock(tmp_path, library), tmp_path / "in"
    folder.mkdir()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    newest = now - timedelta(minutes=now.minute % 5 + 5 * len(STEPS_S))
    frames = list(weather(newest - timedelta(hours=HISTORY_H), HISTORY_H + len(STEPS_S) / 12, seed=1))
    past, coming = frames[: -len(STEPS_S)], frames[-len(STEPS_S) :]
    assert past[-1].valid_time == newest
    for frame in past:
        land(folder, frame)
    environment = {**clock.environment, "NOWCAST_REFUSE_AFTER_S": "3000"}
    with running_stack(tmp_path, "--source", str(folder), environment=environment) as stack:
        await_forecast_of(stack, newest, START_S)
        stack.wait_until(lambda: stack.get("/readyz"), "readiness", within_s=START_S)
        parts = stack.parts()
        for offset_s, frame in zip(STEPS_S, coming, strict=True):
            clock.step_to(offset_s)
            assert stack.get("/livez")
            assert fetch(stack.url + "/readyz")[0] == 200, "nothing is wrong with any part"
            land(folder, frame)
            latest = await_forecast_of(stack, frame.valid_time)
            age_s = (clock.now() - frame.valid_time).total_seconds()
            assert latest["data_age_s"] == pytest.approx(age_s, abs=AGE_OFF_S), "as the stepped clock has it"
            issued_s = (clock.now() - datetime.fromisoformat(latest["issued_at"])).total_seconds()
            assert 0 <= issued_s < CYCLE_S
            assert fetch(stack.url + "/readyz")[0] == 200
        assert stack.parts() == parts, "no part was ended and started again"
        stack.wait_until(
            lambda: stack.get("/verification")["scores"], "scores of the first forecasts", within_s=CYCLE_S
        )
        made = assert_each_forecast_once(*stores_of(stack))
        assert {frame.valid_time for frame in coming} <= {forecast.reference_time for forecast in made}
        assert assert_counts_are_those_of_the_files(*stores_of(stack), made) >= 1
