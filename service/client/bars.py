"""`nowcast point LAT LON`: the next hours at a place as bars in the terminal."""

import math
from typing import Annotated, Final

import httpx2
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.colours import RAIN_COLOURS
from core.command import errors_in_one_line
from core.settings import settings_from_environment
from service.client.client import Client
from service.schemas.places import PointLeadOut, PointOut
from service.schemas.sentence import WORDS, Language, hour_sum, percent, scan_time, sentence

BLOCKS: Final = " ▏▎▍▌▋▊▉█"
LEAST_TOP_MMH: Final = 5.0
LEAST_WIDTH: Final = 8
OTHER_COLUMNS: Final = 36
"""Characters of the columns next to the bars."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(context_settings={"ignore_unknown_options": True})
def main(
    lat: Annotated[float, typer.Argument(help="degrees north")],
    lon: Annotated[float, typer.Argument(help="degrees east")],
    forecast_id: Annotated[str, typer.Option("--id", help="id of a forecast")] = "latest",
    tz: Annotated[str, typer.Option(help="IANA time zone; `auto` is that of the place")] = "auto",
    lang: Annotated[str, typer.Option(help="en or de")] = "en",
) -> None:
    """Draw the rain of the next hours at a place as bars."""
    if lang not in WORDS:
        raise typer.BadParameter(f"expected en or de, got {lang}", param_hint="--lang")
    with errors_in_one_line(OSError, ValueError, httpx2.HTTPError):
        settings = settings_from_environment()
        key = settings.client_key.get_secret_value() if settings.client_key else None
        with Client(settings.client_url, key) as client:
            point = client.point(lat, lon, forecast_id, tz)
    console = Console(highlight=False)
    show(point, "de" if lang == "de" else "en", console)


def show(point: PointOut, language: Language, console: Console) -> None:
    """Print the sentence, the hour's sum, the age of the data, and a bar for each lead."""
    console.print(sentence(point, language), style="bold")
    amount = hour_sum(point, language)
    if amount:
        console.print(amount)
    words = WORDS[language]
    radar = words["stale" if point.stale else "radar"].format(time=scan_time(point, language))
    age = f"{radar} ({point.data_age_s / 60:.0f} min), {point.time_zone}"
    console.print(age, style="bold red" if point.stale else "dim")
    if any(lead.rate_mmh is not None for lead in point.series):
        console.print(bars(point, language, max(LEAST_WIDTH, console.width - OTHER_COLUMNS)))


def bars(point: PointOut, language: Language, width: int) -> Table:
    """Return one row for each lead: time, bar, rate, 10 to 90 % band, chance of rain.

    Args:
        point: document of a place.
        language: of the headings.
        width: of the longest bar, in characters.
    """
    words = WORDS[language]
    top_mmh = max([LEAST_TOP_MMH, *(lead.rate_mmh or 0.0 for lead in point.series)])
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("", width=width, no_wrap=True)
    for heading in (words["rate"], "10-90 %", words["short chance"]):
        table.add_column(heading, justify="right", no_wrap=True)
    for lead in point.series:
        table.add_row(
            f"{lead.valid_time:%H:%M}",
            _bar(lead, top_mmh, width),
            "?" if lead.rate_mmh is None else f"{lead.rate_mmh:.1f}",
            "" if lead.q10 is None or lead.q90 is None else f"{lead.q10:.1f}-{lead.q90:.1f}",
            _chance(lead, point.rain_from_mmh, language),
        )
    return table


def _bar(lead: PointLeadOut, top_mmh: float, width: int) -> Text:
    """Return a bar as long as the square root of the rate, in the colour of the map; dots where it is not known."""
    if lead.rate_mmh is None:
        return Text("·" * width, style="dim")
    eighths = round(math.sqrt(lead.rate_mmh / top_mmh) * width * 8)
    full, rest = divmod(eighths, 8)
    found = [colour for edge, colour in RAIN_COLOURS if lead.rate_mmh >= edge]
    bar = Text("█" * full + BLOCKS[rest].strip(), style=f"#{bytes(found[-1][:3]).hex()}" if found else "")
    if lead.known is False:
        bar.append("·" * (width - len(bar)), style="dim")
    return bar


def _chance(lead: PointLeadOut, rain_from_mmh: float, language: Language) -> str:
    found = [
        one.probability for one in lead.probabilities if math.isclose(one.threshold_mmh, rain_from_mmh, rel_tol=1e-6)
    ]
    return percent(found[0], language) if found and found[0] is not None else ""


if __name__ == "__main__":
    app()
