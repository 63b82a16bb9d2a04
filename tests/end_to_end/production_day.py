"""Twelve hours of German rain on the production layout, which is upgraded in the middle while clients read.

`python -m tests.end_to_end.production_day DATA [--hours 12 --rules 300 --before COMMIT]`

DATA is the folder with `dwd_ry_20180711_00.nc` and `dwd_ry_20180711_12.nc` (radar of Deutscher Wetterdienst, RY). The
crop of 200 x 200 cells of `tests.end_to_end.twelve_hours` is played; a scan arrives as soon as clients see the forecast
of the one before it. nginx with TLS is in front of two machines that share PostgreSQL, Redis and an S3 server; each
runs API, worker, ingest, beat and alerts by the commands of `deploy/systemd`. They start with the code of COMMIT; in
the middle one machine after the other is stopped and started with the code of this checkout. Then what is stored,
answered and delivered is compared with plain scripts. The counts are printed as JSON.
"""

import json
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Final

import httpx2
import typer
from sqlalchemy import func, select

from core.settings import Settings
from ingest.sources.replay import HISTORY, STEP_MINUTES
from ingest.store.database import reading
from ingest.store.schema import known_revisions, revision_of
from service.alerts.rule import SUM
from service.forecasts.nowcast import NowcastService
from service.forecasts.records import StoredForecast
from service.forecasts.tables import ScoredLeadRow
from tests.chaos.invariants import scores_of
from tests.end_to_end.alert_run import (
    Records,
    assert_announced,
    assert_delivered_once,
    assert_events_are_those_of_a_plain_script,
    is_settled,
    post_rules,
    scheduled,
)
from tests.end_to_end.forecast_checks import (
    MODELS,
    assert_counts_are_those_of_the_files,
    assert_each_forecast_once,
    computed_twice,
)
from tests.end_to_end.machines import BUCKET, assert_each_forecast_has_its_object, files_of
from tests.end_to_end.production import AFTER, LATER, PARTS, Production, code_of, production
from tests.end_to_end.receivers import Accepted, http_receiver, mosquitto, mqtt_receiver
from tests.end_to_end.sampler import Sampler
from tests.end_to_end.stack import ROOT
from tests.end_to_end.twelve_hours import FORECASTS_OF_RAIN, HOURS, WIS2_TOPIC, write_scans
from tests.servers import S3_KEY
from tests.service.alerts.playing import sent_rules

BEFORE: Final = "94cbe3687ae8b51626e119fc9b8eeddf466bf9d2"
"""The first commit with a store of files for several machines: what an installation is upgraded from."""

RULES: Final = 300
HISTORY_SCANS: Final = round(HISTORY.total_seconds() / 60 / STEP_MINUTES)
LONGEST_S: Final = 2400.0
"""Longest replay."""

AFTERWARDS: Final = 2
"""Scans that are played after the upgrade, however long it takes."""

RECOMPUTED: Final = 24
"""Reference times whose scores are computed once more from the files alone."""


@dataclass
class Receivers:
    """Who gets the messages of alerts, and what they got."""

    urls: dict[str, str]
    webhook: Accepted
    mqtt: Accepted
    arrivals: Accepted


@contextmanager
def receivers(folder: Path) -> Iterator[Receivers]:
    with (
        mosquitto(folder) as broker,
        http_receiver(refuse=0.02) as (url, webhook),
        mqtt_receiver(broker, "nowcast/alerts/+") as mqtt,
        mqtt_receiver(broker, WIS2_TOPIC, key="id") as arrivals,
    ):
        yield Receivers({"mqtt": broker, "webhook": url}, webhook, mqtt, arrivals)


@dataclass
class Radar:
    """Plays scans: each lands once clients see the forecast of the one before it."""

    production: Production
    scans: Sequence[Path]
    times: Sequence[datetime]
    longest_s: float
    played: int = 0

    def __post_init__(self) -> None:
        self.began_s = monotonic()
        self.is_upgraded = Event()

    def land(self, count: int) -> None:
        """Put the next scans into the watched folder, each whole at once."""
        for scan in self.scans[self.played : self.played + count]:
            part = self.production.folder / "part"
            shutil.copyfile(scan, part)
            part.rename(self.production.inbox / scan.name)
        self.played += count

    def is_forecast(self) -> bool:
        """Whether clients see the forecast of the newest scan."""
        try:
            latest = self.production.get("/nowcast/latest")
        except httpx2.HTTPError:  # counted by the sampler
            return False
        return bool(latest) and datetime.fromisoformat(latest["reference_time"]) == self.times[self.played - 1]

    @property
    def is_half_over(self) -> bool:
        """Whether half of the scans are played, or half of the time is over."""
        is_late = monotonic() - self.began_s > self.longest_s / 2
        return is_late or 2 * self.played >= HISTORY_SCANS + len(self.scans)

    def play(self) -> bool:
        """Play to the end, or as long as a machine that is too slow may; whether all was played.

        The last scans wait for the end of the upgrade.
        """
        while self.played < len(self.scans) and monotonic() - self.began_s < self.longest_s:
            if self.played >= len(self.scans) - AFTERWARDS:
                self.is_upgraded.wait()
            self.land(1)
            self.production.wait_until(self.is_forecast, f"forecast of {self.times[self.played - 1]}")
        is_whole = self.played == len(self.scans)
        self.scans, self.times = self.scans[: self.played], self.times[: self.played]
        return is_whole


def run(
    data: Path,
    home: Path,
    *,
    hours: float = HOURS,
    rules: int = RULES,
    before: str = BEFORE,
    longest_s: float = LONGEST_S,
) -> dict[str, Any]:
    """Play, upgrade, compare, and return the counts; `problems` names what was lost, made twice, or differs."""
    grid = write_scans(data, home / "scans", hours)
    sent = [one for one in sent_rules(rules, seed=22, grid=grid) if one["quantity"] != SUM]  # both releases' alerts
    with receivers(home) as received, production(home, code_of(before, home / "before"), settings(received)) as system:
        radar = radar_of(system, home / "scans", longest_s)
        ids = begin(radar, sent, received.urls["webhook"])
        with Sampler(system.client, system.headers) as sampler:
            took = play_and_upgrade(system, radar)
            counts = Checks(system, home, radar, received).run(dict(zip(ids, sent, strict=True)))
        counts["problems"] += sampler.failed
        counts["answers"] = sampler.figures()
        counts["ready"] = dict(sampler.ready)
        counts["problems"] += [f"/readyz: {status}" for status in set(sampler.ready) - {200, 503}]
        counts["problems"] += ["a secret is in a log"] * any(one in system.log() for one in (S3_KEY, system.key))
        return {**took, **counts, "stopped": dict(system.stopped), "ended": dict(system.restarted)}


def settings(received: Receivers) -> dict[str, str]:
    """What both machines start with, besides the servers."""
    return {
        **FORECASTS_OF_RAIN,
        "NOWCAST_SOURCE_KIND": "replay",
        "NOWCAST_MQTT_URL": received.urls["mqtt"],
        "NOWCAST_WIS2_TOPIC": WIS2_TOPIC,
        "NOWCAST_ALERT_NETWORKS": '["127.0.0.1/32"]',
    }


def radar_of(system: Production, scans: Path, longest_s: float) -> Radar:
    files = sorted(scans.iterdir())
    times = [datetime.strptime(f"{file.stem}+0000", "%Y%m%dT%H%M%z") for file in files]
    return Radar(system, files, times, longest_s)


def begin(radar: Radar, sent: Sequence[dict[str, Any]], webhook: str) -> list[str]:
    """Start both machines on the history, create the rules, and wait for the first forecast; the rules' ids."""
    system = radar.production
    radar.land(HISTORY_SCANS)
    system.start(PARTS)

    def is_stored() -> bool:
        return bool((system.get("/scans?limit=1") or {"count": 0})["count"] == HISTORY_SCANS)

    system.wait_until(is_stored, "history")
    system.make_key()
    targets = [{"kind": "webhook", "url": webhook}, {"kind": "mqtt"}]
    ids = post_rules(partial(system.post, "/rules"), sent, targets)
    system.start(LATER)
    system.wait_until(radar.is_forecast, "first forecast")
    return ids


def play_and_upgrade(system: Production, radar: Radar) -> dict[str, Any]:
    """Play all scans; when half of them are played, replace the code of one machine after the other meanwhile."""
    radar.began_s = monotonic()
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(radar.play)
        system.wait_until(lambda: radar.is_half_over or playing.done(), "half of the scans")
        before, at = radar.played, str(radar.times[radar.played - 1])
        try:
            away_s = system.upgrade(ROOT)
        finally:
            radar.is_upgraded.set()
        meanwhile = radar.played - before
        is_whole = playing.result()
    minutes = round((monotonic() - radar.began_s) / 60, 1)
    upgrade = {"after": at, "away_s": away_s, "forecasts_meanwhile": meanwhile}
    return {"is_whole": is_whole, "minutes": minutes, "upgrade": upgrade}


@dataclass
class Checks:
    """Compares what is stored, answered and delivered with plain scripts."""

    system: Production
    home: Path
    radar: Radar
    received: Receivers

    def __post_init__(self) -> None:
        self.settings = self.system.settings(self.home / "reader")
        self.service = NowcastService.from_settings(self.settings)
        self.store, self.catalogue = self.service.store, self.service.catalogue
        self.records = Records(self.catalogue, self.catalogue.engine)

    def run(self, rules: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Wait until all is done, then compare; the counts, and under `problems` what does not hold."""
        self._await_all()
        made = self.catalogue.select(origin="scans", limit=100_000)
        received = {"webhook": self.received.webhook, "mqtt": self.received.mqtt}
        checks: Sequence[Callable[[], dict[str, Any]]] = (
            self._schema,
            self._forecasts,
            self._computed,
            self._objects,
            partial(self._answers, made),
            partial(assert_events_are_those_of_a_plain_script, self.records, rules),
            partial(assert_delivered_once, self.records, received),
            lambda: {"wis2": assert_announced(self.received.arrivals, scheduled(self.records))},
            lambda: {"counted": assert_counts_are_those_of_the_files(self.store, self.catalogue, made)},
            lambda: {"sums_computed_again": self._sums_again(made)},
        )
        counts: dict[str, Any] = {"problems": []}
        for check in checks:  # all of them: a long run is not made again for the second problem
            try:
                counts |= check()
            except Exception:
                counts["problems"].append(traceback.format_exc()[-2000:])
        return counts

    def _schema(self) -> dict[str, str]:
        with reading(self.catalogue.engine) as connection:
            revision = str(revision_of(connection))
        assert revision == known_revisions()[-1]
        return {"schema": revision}

    def _forecasts(self) -> dict[str, int]:
        """Every scan from the end of the history on has its forecast and its baselines, each once."""
        made = assert_each_forecast_once(self.store, self.catalogue)
        assert {one.reference_time for one in made} == set(self.radar.times[HISTORY_SCANS - 1 :])
        return {"forecasts_and_baselines": len(made)}

    def _computed(self) -> dict[str, int]:
        """The present code computes nothing twice; what the earlier one does stands in the counts."""
        counts = {"twice": self.system.log(), "twice_after": self.system.log(AFTER)}
        found = {name: sum(computed_twice(log).values()) for name, log in counts.items()}
        assert found["twice_after"] == 0, found
        return found

    def _await_all(self) -> None:
        """Wait for the last messages, baselines and scores."""
        last, times = self.radar.times[-1], self.radar.times[HISTORY_SCANS - 1 :]
        leads = round(int(FORECASTS_OF_RAIN["NOWCAST_LEAD_MINUTES"]) / STEP_MINUTES)
        scored = len(MODELS) * sum(min(leads, len(times) - 1 - index) for index in range(len(times)))

        def is_done() -> bool:
            return is_settled(self.records, lambda: last) and self._scored_leads() == scored

        self.system.wait_until(is_done, f"{scored} scored leads and all messages")

    def _scored_leads(self) -> int:
        with reading(self.catalogue.engine) as connection:
            return connection.scalar(select(func.count()).select_from(ScoredLeadRow)) or 0

    def _objects(self) -> dict[str, Any]:
        """Each scan is stored once and has its object, so has each forecast, and there are no others."""
        files = files_of(self.system.environment)
        scans = self.store.scans()
        assert [scan.valid_time for scan in scans] == list(self.radar.times)
        stored = {one.name for one in files.list("scans")}
        wanted = {f"scans/{scan.path.relative_to(self.store.home / 'scans').as_posix()}" for scan in scans}
        assert stored == wanted, (sorted(stored - wanted)[:5], sorted(wanted - stored)[:5])
        assert assert_each_forecast_has_its_object(self.catalogue, files)
        kinds = Counter(one.name.partition("/")[0] for one in files.list(""))
        return {"scans": len(scans), "objects": dict(kinds)}

    def _answers(self, made: Sequence[StoredForecast]) -> dict[str, int]:
        """Every forecast is read through nginx."""
        for one in made:
            answer = self.system.get(f"/nowcast/{one.id}")
            assert answer, one.id
            assert datetime.fromisoformat(answer["reference_time"]) == one.reference_time
        return {"read_through_nginx": len(made)}

    def _sums_again(self, made: Sequence[StoredForecast]) -> int:
        """All sums of some reference times, against those of a new installation that has nothing but the files."""
        times = set(
            random.Random(23).sample(
                sorted({one.reference_time for one in made}), k=min(RECOMPUTED, len(made) // len(MODELS))
            )
        )
        objects, clean = self.home / "buckets" / BUCKET / "one", self.home / "clean"
        shutil.copytree(objects / "scans", clean / "scans")
        for one in made:
            if one.reference_time in times:
                for path in (one.path, one.inputs_path):
                    name = path.relative_to(self.settings.home)
                    (clean / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(objects / name, clean / name)
        service = NowcastService.from_settings(Settings(home=clean))
        while service.verify_observed():
            pass
        expected = scores_of(service)
        found = {key: sums for key, sums in scores_of(self.service).items() if key[2] in times}
        assert found == expected
        return len(expected)


def main(
    data: Path,
    hours: float = HOURS,
    rules: int = RULES,
    before: str = BEFORE,
    longest_s: float = LONGEST_S,
    home: Path | None = None,
) -> None:
    """Play and print the counts."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # all processes are stopped by their contexts
    with tempfile.TemporaryDirectory() as folder:
        counts = run(data, home or Path(folder), hours=hours, rules=rules, before=before, longest_s=longest_s)
        print(json.dumps(counts, indent=2))
    raise typer.Exit(int(bool(counts["problems"])))


if __name__ == "__main__":
    typer.run(main)
