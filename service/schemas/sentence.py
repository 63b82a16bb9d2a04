"""The forecast of a place in a sentence, in English and in German."""

from datetime import datetime, timedelta
from typing import Final, Literal

from service.schemas.places import PointOut

Language = Literal["en", "de"]
LEAST_MM: Final = 0.05
"""A depth below this is written as 0.0."""
WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "no coverage": "No radar covers this place.",
        "unknown": "Not known: rain can flow in from where no radar looks.",
        "dry": "Dry until {last}.",
        "mostly dry": "Probably dry until {last}.",
        "now": "Rain now, at least until {last}.",
        "now until": "Rain now, until about {end}.",
        "from": "Rain from about {start}, {chance}.",
        "from to": "Rain from {start} to about {end}, {chance}.",
        "possible": "possible",
        "sum": "Next hour: {low} to {high} mm",
        "radar": "Radar {time}",
        "stale": "OLD DATA: radar {time}",
        "invented": "INVENTED WEATHER",
        "replayed": "REPLAY: not the current weather",
        "degraded": "fewer data than usual",
        "chance": "chance of rain",
        "short chance": "rain",
        "rate": "mm/h",
    },
    "de": {
        "no coverage": "Kein Radar sieht diesen Ort.",
        "unknown": "Nicht bekannt: Regen kann von dort einziehen, wo kein Radar misst.",
        "dry": "Trocken bis {last}.",
        "mostly dry": "Wohl trocken bis {last}.",
        "now": "Regen jetzt, mindestens bis {last}.",
        "now until": "Regen jetzt, bis etwa {end}.",
        "from": "Regen ab etwa {start}, {chance}.",
        "from to": "Regen von {start} bis etwa {end}, {chance}.",
        "possible": "möglich",
        "sum": "Nächste Stunde: {low} bis {high} mm",
        "radar": "Radar {time}",
        "stale": "ALTE DATEN: Radar {time}",
        "invented": "ERFUNDENES WETTER",
        "replayed": "WIEDERGABE: nicht das jetzige Wetter",
        "degraded": "weniger Daten als sonst",
        "chance": "Regenwahrscheinlichkeit",
        "short chance": "Regen",
        "rate": "mm/h",
    },
}


def sentence(point: PointOut, language: Language = "en") -> str:
    """Return when it rains at a place, such as `Rain from 14:20 to about 15:10, 80 %.`, in the zone of the document."""
    words, last = WORDS[language], f"{point.series[-1].valid_time:%H:%M}"
    if all(lead.rate_mmh is None for lead in point.series):
        return words["no coverage"]
    rain = point.next_rain
    if rain is None or rain.start_minutes is None:
        kind = {"dry": "dry", "unknown": "unknown", "rain": "mostly dry"}[point.outlook]
        return words[kind].format(last=last)
    start, end = (_clock(point.reference_time, minutes) for minutes in (rain.start_minutes, rain.end_minutes))
    kind = ("now" if rain.start_minutes == 0 else "from") + (
        "" if end is None else " until" if not rain.start_minutes else " to"
    )
    return words[kind].format(last=last, start=start, end=end, chance=percent(rain.start_probability, language))


def hour_sum(point: PointOut, language: Language = "en") -> str | None:
    """Return the amount of the next hour as its 10 % and 90 % quantiles; None without members, and where it is 0.0."""
    for amount in point.amounts or []:
        if amount.minutes == 60 and amount.q10 is not None and amount.q90 is not None and amount.q90 >= LEAST_MM:
            low, high = (_decimal(depth, language) for depth in (amount.q10, amount.q90))
            return WORDS[language]["sum"].format(low=low, high=high)
    return None


def scan_time(point: PointOut, language: Language = "en") -> str:
    """Return the time of the newest scan with its date: a picture may be of a replay, and is looked at later."""
    time = point.reference_time
    return (
        f"{time:%H:%M}, {time.day}.{time.month}.{time.year}" if language == "de" else f"{time:%H:%M, {time.day} %b %Y}"
    )


def percent(probability: float | None, language: Language = "en") -> str:
    """Return a probability in words: `80 %`, or that it is possible where no number is known."""
    return WORDS[language]["possible"] if probability is None else f"{100 * probability:.0f} %"


def _clock(reference_time: datetime, minutes: int | None) -> str | None:
    return None if minutes is None else f"{reference_time + timedelta(minutes=minutes):%H:%M}"


def _decimal(value: float, language: Language) -> str:
    text = f"{value:.1f}"
    return text.replace(".", ",") if language == "de" else text
