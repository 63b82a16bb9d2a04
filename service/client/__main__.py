"""The client as a command: `python -m service.client plot --out rain.png`.

Commands: `latest`, `point LAT LON`, `motion`, `area FILE`, `save`, `plot`, `animate`, `nowcast`, `upload FILE...`,
`verification`, `models`, `events`.
`NOWCAST_CLIENT_URL` and `NOWCAST_CLIENT_KEY` set the service and its API key.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from pydantic import BaseModel

from core.command import errors_in_one_line
from core.settings import settings_from_environment
from service.client.client import Client
from service.client.forecast import Forecast
from service.schemas.forecasts import Time
from service.schemas.places import PointLeadOut, PointOut
from service.schemas.scores import MaskName, ScoreOut

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
Id = Annotated[str, typer.Option("--id", help="id of a forecast")]
Model = Annotated[str, typer.Option(help="a name from `models`")]
COUNTS = ("hits", "misses", "false_alarms", "correct_negatives")
Out = Annotated[Path, typer.Option(help="file to write")]


@app.command()
def latest() -> None:
    """Print the newest forecast as JSON."""
    with _client() as client:
        _print(client.latest().answer)


@app.command(context_settings={"ignore_unknown_options": True})
def point(
    lat: float,
    lon: float,
    forecast_id: Id = "latest",
    tz: Annotated[str, typer.Option(help="IANA time zone, such as Europe/Berlin")] = "UTC",
) -> None:
    """Print the forecast at one place: latitude and longitude in degrees."""
    with _client() as client:
        answer = client.point(lat, lon, forecast_id, tz)
        typer.echo(
            f"{answer.status}, {answer.radar_coverage}, radar {answer.data_age_s / 60:.0f} min old; {answer.outlook}"
        )
        for line in (*_summary(answer), *map(partial(_lead, answer.time_zone), answer.series)):
            typer.echo(line)


@app.command()
def motion(
    every_km: Annotated[float, typer.Option(help="distance of two vectors in km")] = 50,
    forecast_id: Id = "latest",
) -> None:
    """Print the motion of the rain, tab-separated: longitude, latitude, km/h, direction towards in degrees."""
    with _client() as client:
        answer = client.forecast(forecast_id).motion(every_km)
    for note in answer.notes:
        typer.echo(f"# {note}")
    _row("# lon", "lat", "speed_kmh", "towards_degrees", "eastward_ms", "northward_ms")
    for one in answer.vectors:
        _row(one.lon, one.lat, one.speed_kmh, one.towards_degrees, one.eastward_ms, one.northward_ms)


@app.command()
def area(
    polygon: Annotated[Path, typer.Argument(help="file with a GeoJSON polygon, or WKT")], forecast_id: Id = "latest"
) -> None:
    """Print the forecast over a polygon as JSON."""
    text = polygon.read_text("utf-8").strip()
    with _client() as client:
        _print(client.forecast(forecast_id).area(json.loads(text) if text.startswith("{") else text))


@app.command()
def save(out: Out = Path("nowcast.nc"), forecast_id: Id = "latest") -> None:
    """Write a forecast as CF-NetCDF."""
    with _client() as client:
        _echo(forecast := client.forecast(forecast_id))
        typer.echo(forecast.save(out))


@app.command()
def animate(
    out: Out = Path("nowcast.webp"),
    forecast_id: Id = "latest",
    width: Annotated[int, typer.Option(help="in pixels", min=200, max=1200)] = 480,
    tz: Annotated[str, typer.Option(help="IANA time zone of the times")] = "UTC",
) -> None:
    """Write a forecast as an animated picture (.webp, .gif or .png)."""
    with _client() as client:
        _echo(forecast := client.forecast(forecast_id))
        typer.echo(forecast.animate(out, width=width, tz=tz))


@app.command()
def plot(
    out: Out = Path("nowcast.png"),
    forecast_id: Id = "latest",
    probability_of: Annotated[
        float | None, typer.Option(help="draw the exceedance probability of this threshold in mm/h")
    ] = None,
    leads: Annotated[
        str | None, typer.Option(help="minutes separated by commas; default: every lead, or six if there are more")
    ] = None,
) -> None:
    """Draw a forecast as a picture."""
    with _client() as client:
        wanted = None if leads is None else [int(minutes) for minutes in leads.split(",")]
        _echo(forecast := client.forecast(forecast_id))
        typer.echo(forecast.plot(out, probability_of, wanted))


@app.command()
def nowcast(
    model: Model = "default",
    reference_time: Annotated[
        str | None, typer.Option("--time", help="valid time of the newest input scan, ISO 8601")
    ] = None,
) -> None:
    """Make a forecast from the service's scans and print it as JSON."""
    from pydantic import TypeAdapter

    with _client() as client:
        time = TypeAdapter[Time](Time).validate_python(reference_time) if reference_time else None
        _print(client.nowcast(time, model).answer)


@app.command()
def upload(
    frames: Annotated[list[Path], typer.Argument(help="radar files, or one NetCDF with five times")],
    observed: Annotated[
        list[Path] | None, typer.Option(help="radar file after the reference time, for verification")
    ] = None,
    model: Model = "default",
    out: Annotated[Path | None, typer.Option(help="write the forecast as CF-NetCDF")] = None,
) -> None:
    """Make a forecast from radar files and print it as JSON."""
    with _client() as client:
        forecast = client.upload(frames, observed or (), model)
        _print(forecast.answer)
        if out:
            forecast.save(out)


@app.command()
def verification(
    hours: Annotated[float, typer.Option(help="period, back from now")] = 24,
    model: Annotated[str | None, typer.Option(help="only this model, with both baselines")] = None,
    mask: Annotated[
        MaskName,
        typer.Option(help="all observed grid cells, or those whose forecast is known to rest on an observation"),
    ] = "all",
) -> None:
    """Print the scores of the last hours, tab-separated: those of the four counts, all others, the schedule."""
    with _client() as client:
        answer = client.verification(hours, model, mask)
    _count_scores(answer.scores if mask == "all" else answer.scores_known, answer.empty_because)
    if answer.values:
        _row("# model", "lead_minutes", "threshold_mmh", "window_km", "score", "value")
    for one in answer.values:
        threshold, window = (_value(number, "g") for number in (one.threshold_mmh, one.window_km))
        _row(one.model, one.lead_minutes, threshold, window, one.score, _value(one.value, ".4g"))
    if answer.schedule:
        _row("# model", "expected", "made", "missed")
    for count in answer.schedule:
        _row(count.model, count.expected, count.made, count.missed)


@app.command()
def models() -> None:
    """Print the models by name, version and use."""
    with _client() as client:
        for model in client.models().models:
            use = "default" if model.default else "baseline" if model.baseline else ""
            typer.echo("\t".join((model.name, model.version or "-", use)))


@app.command()
def events(after: Annotated[str | None, typer.Option(help="id of the last known forecast")] = None) -> None:
    """Print a line for every new forecast, until Ctrl-C."""
    with _client() as client:
        for forecast in client.events(after):
            typer.echo(f"{forecast.id}\t{forecast}")


def _count_scores(rows: Sequence[ScoreOut], empty_because: str | None) -> None:
    if not rows:
        typer.echo(f"# no scores yet: {empty_because or 'none of these grid cells is scored'}")
        return
    others = [name for name in rows[0].scores if name not in ("csi", "hss")]
    _row("# model", "lead_minutes", "threshold_mmh", "csi", "hss", *COUNTS, *others, "enough")
    for row in rows:
        counts, scores = (getattr(row, name) for name in COUNTS), (_value(row.scores.get(name)) for name in others)
        place = (row.model, row.lead_minutes, row.threshold_mmh)
        _row(*place, _value(row.csi), _value(row.hss), *counts, *scores, "yes" if row.enough else "no")


def _row(*columns: object) -> None:
    typer.echo("\t".join(map(str, columns)))


def _value(number: float | None, digits: str = ".3f") -> str:
    return "-" if number is None else format(number, digits)


@contextmanager
def _client() -> Iterator[Client]:
    with errors_in_one_line(OSError, ValueError, httpx2.HTTPError):
        settings = settings_from_environment()
        key = settings.client_key.get_secret_value() if settings.client_key else None
        with Client(settings.client_url, key) as client:
            yield client


def _summary(answer: PointOut) -> Iterator[str]:
    """Yield lines on the newest scan, the next rain and the motion."""
    if answer.observed is not None:
        yield f"observed {_local(answer.observed.valid_time, answer.time_zone)}  {_rate(answer.observed.rate_mmh)}"
    rain = answer.next_rain
    if rain is not None:
        start = "rain now" if rain.start_minutes == 0 else f"rain in {rain.start_minutes} min"
        end = "" if rain.end_minutes is None else f", dry in {rain.end_minutes} min{_share(rain.end_probability)}"
        yield f"{start}{_share(rain.start_probability)}{end}"
    if answer.motion is not None:
        yield f"moves towards {answer.motion.towards_degrees:.0f} degrees at {answer.motion.speed_kmh:.0f} km/h"
    for amount in answer.amounts or ():
        yield f"next {amount.minutes} min: {amount.q50:.1f} mm ({amount.q10:.1f} to {amount.q90:.1f} mm)"


def _lead(zone: str, row: PointLeadOut) -> str:
    inflow = "  inflow not observed" if row.known is False else ""
    band = "" if row.q10 is None or row.q90 is None else f"  {row.q10:.2f} to {row.q90:.2f} mm/h"
    line = f"{_local(row.valid_time, zone)}  +{row.lead_minutes:>3} min  {_rate(row.rate_mmh):>10}"
    return f"{line}{band}{inflow}{_probabilities(row)}"


def _local(time: datetime, zone: str) -> str:
    return f"{time:%Y-%m-%d %H:%M} {zone}"


def _rate(rate_mmh: float | None) -> str:
    return "unknown" if rate_mmh is None else f"{rate_mmh:.2f} mm/h"


def _share(probability: float | None) -> str:
    return "" if probability is None else f" ({probability:.0%})"


def _probabilities(row: PointLeadOut) -> str:
    known = [(one.threshold_mmh, one.probability) for one in row.probabilities if one.probability is not None]
    words = "  ".join(f"{threshold_mmh:g}: {probability:.0%}" for threshold_mmh, probability in known)
    return f"   probability of mm/h or more  {words}" if words else ""


def _print(answer: BaseModel) -> None:
    typer.echo(answer.model_dump_json(indent=2))


def _echo(forecast: Forecast) -> None:
    typer.echo(str(forecast), err=True)


if __name__ == "__main__":
    app()
