"""A soak: a radar day is played at its own pace under a mixed load, and what is sampled is drawn as curves.

`python -m tests.chaos.soak DATA [--minutes 100 --seed 24 --json FILE --picture FILE]`

DATA is that of `tests.chaos.run`. No fault is injected. A process of its own asks for places, tiles, maps and polygons,
uploads frames and listens to events; this one measures `/livez` and `/point` twice a second, memory and handles of
each part, and when each scan has its forecast. The exit status is 1 where a goal is missed.
"""

import json
import math
import multiprocessing
import random
import signal
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any, Final

import matplotlib as mpl
import typer
import xarray as xr
from matplotlib.figure import Figure

from service.forecasts.nowcast import NowcastService
from tests.chaos.invariants import current
from tests.chaos.of_clients import WMS, ring
from tests.chaos.run import HISTORY, chaos_settings, started
from tests.chaos.scene import Scene
from tests.chaos.watch import PartSample, flatness, part_sample
from tests.end_to_end.stack import fetch

CADENCE_S: Final = 23.0  # between two scans: a day of them in 100 minutes
LIVEZ_S: Final = 0.1
POINT_S: Final = 0.1
MOST_CYCLES: Final = 2.0  # cadences: a forecast that appears later after its scan is late
MOST_GROWTH: Final = 1.1
"""Memory and handles of a part are flat if their last quarter is not higher than so many times the second one."""

PROBE_EVERY_S: Final = 0.5
PARTS_EVERY_S: Final = 5.0
LISTENERS: Final = 3
RATES: Final = {"places": 5.0, "tiles": 2.0, "maps": 0.2, "polygons": 0.2, "uploads": 1 / 60}  # requests a second
ZOOM: Final = 8
LEAD: Final = timedelta(minutes=10)
LAYERS: Final = ("rainfall_rate", "probability_of_exceedance_0.5")
UPLOADED: Final = (0, 6, 12, 18, 24)  # scans of an upload: five, half an hour apart


@dataclass
class Curves:
    """What is sampled; times in seconds since the start of the soak.

    Attributes:
        livez, point: time, delay in seconds and status of each request.
        parts: resident memory and handles by part.
        played, seen: times at which a scan was played, and at which a forecast of it or a later one was found.
    """

    livez: list[tuple[float, float, int]] = field(default_factory=list)
    point: list[tuple[float, float, int]] = field(default_factory=list)
    parts: dict[str, list[PartSample]] = field(default_factory=dict)
    played: dict[datetime, float] = field(default_factory=dict)
    seen: dict[datetime, float] = field(default_factory=dict)


def multipart(scans: list[Path], folder: Path) -> tuple[bytes, str]:
    """The body of an upload of five scans in one file, and its content type."""
    path = folder / "five.nc"
    chosen = [scans[number] for number in UPLOADED]
    with xr.open_mfdataset(chosen, combine="nested", concat_dim="time", data_vars="minimal") as frames:
        frames.load().to_netcdf(path)
    head = b'--cut\r\nContent-Disposition: form-data; name="frames"; filename="five.nc"\r\n\r\n'
    return head + path.read_bytes() + b"\r\n--cut--\r\n", "multipart/form-data; boundary=cut"


def ask(url: str, kind: str, chance: random.Random, upload: tuple[bytes, str]) -> int:
    """Send one request of a kind; its status."""
    lat, lon = chance.uniform(49.6, 51.2), chance.uniform(8.2, 10.8)
    if kind == "places":
        return fetch(f"{url}/nowcast/latest/point?lat={lat:.3f}&lon={lon:.3f}")[0]
    if kind == "tiles":
        return fetch(f"{url}/tiles/{chance.choice(LAYERS)}/{lead_time(url)}/{tile(lat, lon)}.png")[0]
    if kind == "maps":
        return fetch(url + WMS.replace("2048", "512"))[0]
    if kind == "polygons":
        return fetch(f"{url}/nowcast/latest/area", ring(chance.randrange(50, 400)))[0]
    return post(f"{url}/nowcast", *upload)


def tile(lat: float, lon: float) -> str:
    """The path of the Web Mercator tile of zoom level 8 with a place."""
    x = int((lon + 180) / 360 * 2**ZOOM)
    y = int((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**ZOOM)
    return f"{ZOOM}/{x}/{y}"


def lead_time(url: str) -> str:
    """The time of a lead of the newest forecast, as a path has it."""
    status, body = fetch(f"{url}/nowcast/latest")
    latest = datetime.fromisoformat(json.loads(body)["reference_time"]) if status == 200 else datetime.now(UTC)
    return f"{latest + LEAD:%Y-%m-%dT%H:%M:%SZ}"


def post(url: str, body: bytes, kind: str) -> int:
    """The status of a POST of bytes; 0 without an answer."""
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as err:
        with err:
            return err.code
    except OSError:
        return 0


def work(url: str, kind: str, seed: int, ends_at: float, upload: tuple[bytes, str], found: Counter[str]) -> None:
    """Ask at the rate of a kind until the end; one request at a time."""
    chance, next_s = random.Random(f"{seed}:{kind}"), time.monotonic()
    while time.monotonic() < ends_at:
        found[f"{kind}: {ask(url, kind, chance, upload)}"] += 1
        next_s = max(next_s + 1 / RATES[kind], time.monotonic())
        time.sleep(max(0.0, min(next_s, ends_at) - time.monotonic()))


def listen(url: str, ends_at: float, found: Counter[str]) -> None:
    """Hold a stream of events open, and count its lines."""
    while time.monotonic() < ends_at:
        with suppress(OSError), urllib.request.urlopen(f"{url}/events", timeout=30) as stream:
            for line in stream:
                found["events: lines"] += line.startswith(b"data:")
                if time.monotonic() > ends_at:
                    return


def load(url: str, seed: int, for_s: float, upload: tuple[bytes, str], counts: "Queue[Counter[str]]") -> None:
    """All kinds of requests at once, from this process."""
    found, ends_at = Counter[str](), time.monotonic() + for_s
    threads = [threading.Thread(target=work, args=(url, kind, seed, ends_at, upload, found)) for kind in RATES]
    listeners = [threading.Thread(target=listen, args=(url, ends_at, found), daemon=True) for _ in range(LISTENERS)]
    for thread in (*threads, *listeners):
        thread.start()
    for thread in threads:
        thread.join()
    counts.put(found)


def timed(url: str, since_s: float) -> tuple[float, float, int]:
    """When a request was sent, how long its answer took, and its status."""
    began = time.monotonic()
    status, _ = fetch(url, limit_s=60)
    return began - since_s, time.monotonic() - began, status


def probe(scene: Scene, curves: Curves, since_s: float, stop: threading.Event) -> None:
    """Sample until `stop` is set."""
    parts_next_s = 0.0
    while not stop.wait(PROBE_EVERY_S):
        curves.livez.append(timed(f"{scene.stack.url}/livez", since_s))
        curves.point.append(timed(f"{scene.stack.url}/nowcast/latest/point?lat=50.5&lon=9.5", since_s))
        newest, now = scene.newest(), time.monotonic() - since_s
        for at in [one for one in list(curves.played) if newest is not None and one <= newest]:
            curves.seen.setdefault(at, now)
        if now >= parts_next_s:
            parts_next_s = now + PARTS_EVERY_S
            for name, pid in scene.stack.parts().items():
                if (found := part_sample(pid)) is not None:
                    curves.parts.setdefault(name, []).append(found)


def play_at_pace(scene: Scene, curves: Curves, since_s: float, cadence_s: float) -> None:
    """Write one scan after the other, each at its time."""
    for number in range(len(scene.scans) - scene.played):
        time.sleep(max(0.0, since_s + number * cadence_s - time.monotonic()))
        valid_time = datetime.strptime(f"{scene.scans[scene.played].stem}+0000", "%Y%m%dT%H%M%z")
        scene.play()
        curves.played[valid_time] = time.monotonic() - since_s


def spread(delays: list[float]) -> dict[str, float]:
    """Median, 99th percentile and most of some delays, in milliseconds."""
    return {
        "median_ms": round(1000 * median(delays), 1),
        "p99_ms": round(1000 * quantiles(delays, n=100)[-1], 1),
        "most_ms": round(1000 * max(delays), 1),
    }


def judged(curves: Curves, counts: Counter[str], cadence_s: float, made: set[datetime]) -> dict[str, Any]:
    """The figures, and the goals that were missed."""
    delays = {at: curves.seen[at] - began for at, began in curves.played.items() if at in curves.seen}
    late = [f"{at:%H:%M}: {delay:.0f} s" for at, delay in delays.items() if delay > MOST_CYCLES * cadence_s]
    figures = {"livez": spread([one[1] for one in curves.livez]), "point": spread([one[1] for one in curves.point])}
    problems = [f"/livez took {one[1]:.2f} s at {one[0]:.0f} s" for one in curves.livez if one[1] > LIVEZ_S]
    if figures["point"]["p99_ms"] > 1000 * POINT_S:
        problems.append(f"/point: p99 of {figures['point']['p99_ms']} ms")
    statuses = Counter(one[2] for one in (*curves.livez, *curves.point))
    problems += [f"{number} probes with status {status}" for status, number in statuses.items() if status != 200]
    problems += [f"no forecast of {at:%H:%M}" for at in curves.played if at not in made]
    problems += [f"late forecast of {words}" for words in late]
    problems += [f"{kind}, {number} times" for kind, number in counts.items() if kind.split(": ")[1] in ("0", "500")]
    parts = {name: flatness(samples) for name, samples in sorted(curves.parts.items())}
    grown = [(name, key, *one[key]) for name, one in parts.items() for key in ("memory_mb", "handles")]
    problems += [f"{name}: {key} from {a} to {b}" for name, key, a, b in grown if b > MOST_GROWTH * a]
    after = {"median": round(median(delays.values()), 1), "most": round(max(delays.values()), 1)} if delays else {}
    return figures | {
        "scans": len(curves.played),
        "cadence_s": round(cadence_s, 1),
        "forecast_after_s": after,
        "requests": dict(sorted(counts.items())),
        "parts": parts,
        "problems_count": len(problems),
        "problems": problems[:40],
    }


def draw(curves: Curves, path: Path) -> None:
    """Four curves over the minutes: delays, time from a scan to its forecast, memory, handles."""
    mpl.use("Agg")
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True)
    for name, samples in (("/livez", curves.livez), ("/point", curves.point)):
        axes[0, 0].plot([one[0] / 60 for one in samples], [1000 * one[1] for one in samples], ".", ms=2, label=name)
    axes[0, 0].axhline(1000 * LIVEZ_S, color="grey", lw=0.8)
    found = sorted((began, curves.seen[at] - began) for at, began in curves.played.items() if at in curves.seen)
    axes[0, 1].plot([one[0] / 60 for one in found], [one[1] for one in found], ".-", ms=3)
    first = min(one.at_s for some in curves.parts.values() for one in some)
    for name, some in sorted(curves.parts.items()):
        minutes = [(one.at_s - first) / 60 for one in some]
        axes[1, 0].plot(minutes, [one.memory_bytes / 2**20 for one in some], label=name)
        axes[1, 1].plot(minutes, [one.handles for one in some], label=name)
    titles = ("Delay of an answer, ms", "From a scan to its forecast, s", "Resident memory, MB", "Open handles")
    for axis, title in zip(axes.flat, titles, strict=True):
        axis.set_title(title, loc="left")
        axis.set_ylim(bottom=0)
        axis.set_xlabel("minutes")
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(bottom=1)
    for axis in (axes[0, 0], axes[1, 0], axes[1, 1]):
        axis.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def run(data: Path, home: Path, minutes: float, seed: int) -> tuple[dict[str, Any], Curves]:
    """Play, ask, sample; the figures and the curves."""
    curves, stop, counts = Curves(), threading.Event(), multiprocessing.get_context("spawn").Queue()
    scans = HISTORY + round(60 * minutes / CADENCE_S)
    with started(home, data, scans, seed) as scene:
        upload = multipart(list(scene.scans), home)
        arguments = (scene.stack.url, seed, 60 * minutes, upload, counts)
        client = multiprocessing.get_context("spawn").Process(target=load, args=arguments, daemon=True)
        since_s = time.monotonic()
        client.start()
        sampler = threading.Thread(target=probe, args=(scene, curves, since_s, stop), daemon=True)
        sampler.start()
        play_at_pace(scene, curves, since_s, CADENCE_S)
        found = counts.get(timeout=60 * minutes + 300)
        time.sleep(MOST_CYCLES * CADENCE_S)
        stop.set()
        sampler.join()
        service = NowcastService.from_settings(chaos_settings(scene.home))
        made = {at for at, name in current(service) if name == "default"}
    return judged(curves, found, CADENCE_S, made), curves


def main(
    data: Path,
    minutes: Annotated[float, typer.Option(min=1, max=100, help="100 are the day of the data")] = 100.0,
    seed: int = 24,
    json_file: Annotated[Path | None, typer.Option("--json", help="file of the figures")] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG file of the curves")] = None,
) -> None:
    """Soak, print the figures, draw the curves."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the service is stopped by its context
    with tempfile.TemporaryDirectory() as folder:
        figures, curves = run(data, Path(folder), minutes, seed)
    text = json.dumps({"minutes": minutes, "seed": seed} | figures, indent=2)
    print(text)
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(text + "\n")
    if picture:
        draw(curves, picture)
    raise typer.Exit(int(bool(figures["problems_count"])))


if __name__ == "__main__":
    typer.run(main)
