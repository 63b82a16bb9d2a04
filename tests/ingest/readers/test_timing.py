"""Observation or forecast, by the times that real layouts state."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from core.errors import FrameError
from core.times import utc
from ingest.readers.timing import FrameTimes, lead_minutes


def at(clock: str) -> datetime:
    return utc(f"2024-06-01T{clock}Z")


def odim(nominal: str, start: str, end: str, product: str = "", **marks: Any) -> FrameTimes:
    return FrameTimes(at(end), at(start), nominal=at(nominal), product=product, **marks)


def cf(end: str, reference: str | None = None, start: str | None = None, lead: float | None = None) -> FrameTimes:
    return FrameTimes(at(end), at(start) if start else None, None, at(reference) if reference else None, lead)


@pytest.mark.parametrize(
    ("layout", "times", "expected"),
    [
        ("DWD RY", odim("12:00", "11:55", "12:00", "RY"), 0),
        ("DWD RW, nominal at the start", odim("10:50", "10:50", "11:50", "RW"), 0),
        ("DWD RV, analysis", odim("12:00", "11:55", "12:00", "RV"), 0),
        ("DWD RV, first lead begins at the nominal time", odim("12:00", "12:00", "12:05", "RV"), 5),
        ("DWD RV, last lead", odim("12:00", "13:55", "14:00", "RV"), 120),
        ("OPERA ODYSSEY, nominal in the middle", odim("18:00", "17:50", "18:05", "SURFACE"), 0),
        ("OPERA NIMBUS RATE", odim("12:00", "12:00", "12:15", "RATE"), 0),
        ("OPERA NIMBUS ACRR of an hour", odim("12:00", "11:00", "12:00", "ACRR"), 0),
        ("OPERA CIRRUS, nominal at the start", odim("12:00", "12:00", "12:05", "DBZH"), 0),
        ("RMI, nominal at the end", odim("12:00", "11:55", "12:00", "RATE"), 0),
        ("MeteoSwiss, one instant", odim("12:00", "12:00", "12:00", "RZC"), 0),
        ("BALTRAD, seconds of the first beam", odim("12:00", "12:00:02", "12:04:38", "SEANG"), 0),
        ("SHMU, nominal at the start", odim("12:00", "12:00", "12:05", "CAPPI"), 0),
        ("DMI, ten minutes", odim("12:00", "12:00", "12:10", "DBZH"), 0),
        ("FMI, end a second early", odim("12:00", "11:55", "11:59:59", "RATE"), 0),
        ("file made after its interval", odim("12:20", "11:55", "12:00", ""), 0),
        ("no nominal time", FrameTimes(at("12:00"), at("11:55")), 0),
        ("begins after the nominal time", odim("12:00", "12:25", "12:30", ""), 30),
        ("marked as simulated", odim("12:00", "12:00", "12:05", "", is_simulated=True), 5),
        ("simulated weather, observed", odim("12:00", "11:55", "12:00", "", is_simulated=True), 0),
        ("series of leads", odim("12:00", "12:00", "12:05", "", is_series=True), 5),
        ("one instant, half an hour ahead", odim("12:00", "12:30", "12:30", ""), 30),
        ("CF without a reference time", cf("12:00"), 0),
        ("CF with the reference time of an analysis", cf("12:00", "12:00"), 0),
        ("CF forecast", cf("12:30", "12:00"), 30),
        ("CF forecast with bounds", cf("12:05", "12:00", "12:00"), 5),
        ("CF analysis before the reference time", cf("11:30", "12:00"), 0),
        ("CF forecast_period alone", cf("12:30", lead=30), 30),
        ("CF forecast_period and reference time", cf("12:30", "12:00", lead=30), 30),
        ("RADOLAN VV 000", cf("12:00", start="11:55", lead=0), 0),
        ("RADOLAN VV 005", cf("12:05", start="12:00", lead=5), 5),
        ("KNMI composite", cf("12:00", start="12:00"), 0),
        ("KNMI forecast", cf("12:30", "12:00", lead=None), 30),
    ],
)
def test_real_layouts(layout: str, times: FrameTimes, expected: int) -> None:
    assert lead_minutes(times) == expected, layout


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (odim("12:00", "12:05", "12:05"), "observation or forecast is not decided: nominal time 2024-06-01 12:00:00"),
        (odim("12:00", "12:00", "13:00", "ACRR"), "observation or forecast is not decided"),
        (odim("12:30", "12:00", "13:00", "ACRR"), "observation or forecast is not decided"),
        (odim("12:00", "12:10", "12:05"), "expected an end after the start"),
        (cf("12:30", "12:00", lead=25), "expected one lead, got 25 minutes and 30 from the reference time"),
        (replace(cf("12:30"), is_simulated=True), "expected a reference time of the simulated field"),
    ],
)
def test_what_is_in_doubt_is_refused_with_the_reason(times: FrameTimes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        lead_minutes(times)
