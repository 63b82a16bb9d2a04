"""Twelve hours of German rain with 1,000 rules while parts are killed.

`python -m tests.end_to_end.twelve_hours DATA [--hours 12 --rules 1000 --kills 40]`

DATA is the folder with `dwd_ry_20180711_00.nc` and `dwd_ry_20180711_12.nc` (radar of Deutscher Wetterdienst, RY).
A crop of 200 x 200 cells is replayed into the whole service; afterwards events, messages and verification are compared
with a plain script that reads the stored forecasts. The counts are printed as JSON.
"""

import json
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
import typer
import xarray as xr

from core.grid import RADOLAN_900, Grid
from ingest.sources.replay import HISTORY
from tests.end_to_end.alert_run import (
    Killer,
    assert_announced,
    assert_delivered_once,
    assert_events_are_those_of_a_plain_script,
    open_messages,
    post_rules,
    records_of,
    scheduled,
    settle,
)
from tests.end_to_end.receivers import http_receiver, mosquitto, mqtt_receiver
from tests.end_to_end.stack import Stack, fetch, running_stack
from tests.service.alerts.playing import sent_rules

FILES: Final = ("dwd_ry_20180711_00.nc", "dwd_ry_20180711_12.nc")
CELLS: Final = 200
TOP, LEFT = 400, 380
"""Rows from the north and columns of the crop: central Germany, where it rained most of that day."""

HOURS: Final = 12.0
RULES: Final = 1000
SPEED: Final = 600.0
"""Faster than any machine forecasts: the replay waits for each forecast, and for nothing else."""

LONGEST_S: Final = 1800.0
PARTS: Final = ("alerts", "worker", "queue", "beat", "api", "ingest")
KILLS: Final = 30
PAUSE_S: Final = (0.0, 30.0)
WIS2_TOPIC: Final = "origin/a/wis2/de-example/data/recommended/weather/prediction/forecast"

FORECASTS_OF_RAIN: Final = {
    "NOWCAST_GRID_M": "1000",
    "NOWCAST_MEMBERS": "0",
    "NOWCAST_LEAD_MINUTES": "120",
    "NOWCAST_STALE_AFTER_S": "14400",
    "NOWCAST_REFUSE_AFTER_S": "14400",
}
"""Settings of the forecasts."""


def shifted(scans: xr.Dataset, by: timedelta) -> xr.Dataset:
    """The same scans at later times; the bounds of the times too."""
    moved = {}
    for name in ("time", "time_bnds"):
        times = scans[name]
        moved[name] = (times + np.timedelta64(round(by.total_seconds()), "s")).assign_attrs(times.attrs)
        moved[name].encoding = {key: times.encoding[key] for key in ("dtype", "units", "calendar")}
    return scans.assign_coords(time=moved["time"]).assign(time_bnds=(scans.time_bnds.dims, moved["time_bnds"].values))


def write_scans(data: Path, folder: Path, hours: float, shift: timedelta = timedelta()) -> Grid:
    """Write one file for each scan of the crop: the history of the first forecast and `hours` after it; its grid.

    Args:
        data: folder of the events.
        folder: of the scans.
        hours: after the history.
        shift: added to every time.
    """
    folder.mkdir(parents=True)
    count = round((HISTORY.total_seconds() / 3600 + hours) * 12)
    for name in FILES:
        with xr.open_dataset(data / name) as day:
            south_up = bool(day.y[0] < day.y[-1])
            first = day.sizes["y"] - TOP - CELLS if south_up else TOP
            crop = day.isel(y=slice(first, first + CELLS), x=slice(LEFT, LEFT + CELLS))
            crop = shifted(crop, shift)
            for index in range(min(count, day.sizes["time"])):
                stamp = str(crop.time.values[index])[:16].replace("-", "").replace(":", "")
                crop.isel(time=slice(index, index + 1)).to_netcdf(folder / f"{stamp}.nc")
            count -= min(count, day.sizes["time"])
    west, north = RADOLAN_900.west_m + LEFT * 1000.0, RADOLAN_900.north_m - TOP * 1000.0
    return Grid(RADOLAN_900.crs, west, north, 1000.0, 1000.0, CELLS, CELLS, "crop")


@contextmanager
def service_with_rules(
    home: Path, scans: Path, urls: Mapping[str, str], sent: list[dict[str, Any]]
) -> Iterator[tuple[Stack, list[str]]]:
    """The whole service on the scans; its schedule begins when the rules are there, so that all see every forecast."""
    environment = {
        **FORECASTS_OF_RAIN,
        "NOWCAST_CYCLE_S": "1",
        "NOWCAST_ALERT_NETWORKS": '["127.0.0.1/32"]',
        "NOWCAST_MQTT_URL": urls["mqtt"],
        "NOWCAST_WIS2_TOPIC": WIS2_TOPIC,
        "NOWCAST_PUBLIC_URL": "https://rain.example.org",
        "NOWCAST_LOCAL_WITHOUT_KEY": "true",
    }
    with running_stack(home, "--replay", str(scans), "--speed", str(SPEED), environment=environment) as stack:
        stack.wait_until(lambda: stack.parts().get("beat"), "schedule")
        stack.send("beat", signal.SIGSTOP)
        stack.wait_until(lambda: fetch(stack.url + "/rules")[0] == 200, "API")
        assert not scheduled(records_of(stack)), "the schedule was faster than this test"
        targets = [{"kind": "webhook", "url": urls["webhook"]}, {"kind": "mqtt"}]
        ids = post_rules(partial(fetch, stack.url + "/rules"), sent, targets)
        stack.send("beat", signal.SIGCONT)
        yield stack, ids


def run(
    data: Path,
    home: Path,
    *,
    hours: float = HOURS,
    rules: int = RULES,
    kills: int = KILLS,
    longest_s: float = LONGEST_S,
) -> dict[str, Any]:
    """Play the hours, compare, and return the counts.

    Raises:
        AssertionError: something was lost, sent twice under one id, or differs from the plain script.
    """
    began_s = monotonic()
    grid = write_scans(data, home / "scans", hours)
    sent = sent_rules(rules, seed=22, grid=grid)
    (home / "stack").mkdir()
    with (
        mosquitto(home) as broker,
        http_receiver(refuse=0.02) as (url, by_http),
        mqtt_receiver(broker, "nowcast/alerts/+") as by_mqtt,
        mqtt_receiver(broker, WIS2_TOPIC, key="id") as arrivals,
        service_with_rules(home / "stack", home / "scans", {"mqtt": broker, "webhook": url}, sent) as (stack, ids),
    ):
        records = records_of(stack)
        killer = Killer(stack, PARTS, PAUSE_S, kills, lambda: len(scheduled(records)))
        killer.start()
        played = lambda: "played to the end" in stack.log()
        stack.wait_until(lambda: played() or monotonic() - began_s > longest_s, "end of the replay", longest_s + 60)
        is_whole = played()
        if not is_whole:  # a machine that is too slow: what was played is compared
            stack.send("radar", signal.SIGSTOP)
        killer.stop()
        last = last_time(home / "scans") if is_whole else None
        settle(stack, records, lambda: newest_scan(stack, last), within_s=1200)
        played_s = monotonic() - began_s
        assert open_messages(records) == 0
        counts = assert_events_are_those_of_a_plain_script(records, dict(zip(ids, sent, strict=True)))
        counts |= assert_delivered_once(records, {"webhook": by_http, "mqtt": by_mqtt})
        counts["wis2"] = assert_announced(arrivals, scheduled(records))
        counts["verified"] = check_verification(stack, ids)
        return {
            **counts,
            "is_whole": is_whole,
            "kills": dict(killer.killed),
            "minutes": round(played_s / 60, 1),
        }


def last_time(folder: Path) -> datetime:
    """The time of the last scan that is played."""
    times = []
    for path in folder.glob("*.nc"):
        with xr.open_dataset(path) as scans:
            times.append(scans["time"].values.max())
    return datetime.fromisoformat(f"{max(times).astype('datetime64[s]')}+00:00")


def newest_scan(stack: Stack, last: datetime | None = None) -> datetime | None:
    """The time of the newest scan, which has a forecast when all is done; None while it has none.

    Args:
        stack: that plays.
        last: time of the last scan, which may not be stored yet when the replay has ended; None: not awaited.
    """
    scans, latest = stack.get("/scans"), stack.get("/nowcast/latest")
    if not scans or not latest or scans["scans"][0]["valid_time"] != latest["reference_time"]:
        return None
    newest = datetime.fromisoformat(latest["reference_time"])
    return None if last is not None and newest < last else newest


def check_verification(stack: Stack, ids: list[str]) -> int:
    """Check that the API answers the outcomes of the states, which the plain script has; the number of rules."""
    pooled: dict[str, set[str]] = {}
    for rule_id in ids:
        answer = stack.get(f"/rules/{rule_id}/verification")
        quantity = stack.get(f"/rules/{rule_id}")["definition"]["quantity"]
        pooled.setdefault(quantity, set()).add(json.dumps(answer["pooled"]))
        assert answer["rule"]["alerts"] == answer["rule"]["hits"] + answer["rule"]["false_alarms"]
    assert all(len(answers) == 1 for answers in pooled.values())
    return len(ids)


def main(
    data: Path,
    hours: float = HOURS,
    rules: int = RULES,
    kills: int = KILLS,
    longest_s: float = LONGEST_S,
    home: Path | None = None,
) -> None:
    """Play and print the counts."""
    with tempfile.TemporaryDirectory() as folder:
        counts = run(data, home or Path(folder), hours=hours, rules=rules, kills=kills, longest_s=longest_s)
        print(json.dumps(counts, indent=2))


if __name__ == "__main__":
    typer.run(main)
