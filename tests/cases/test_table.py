"""The table of cases and doors: every case through every door that can take it, each exception with its reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cases.doors import DOORS, READER_DOORS, CaseOutcome, Door, Files
from tests.cases.test_every_case import listed_cases
from tests.cases.test_uploads_and_archives import GRID as SMALL
from tests.cases.test_uploads_and_archives import forecasts, with_others
from tests.ingest.archive.sources import tar_bytes

NOT_A_FILE = "a request, not a file: tests/cases/test_requests.py"
FORMATS_OF_TRAINING = "training reads NetCDF, Zarr and RYDL.hdf5, not this format"
OF_UPLOADS = "the limit on cells is of uploads alone: test_case_24_composites_of_europe_are_within_the_default_limit"
LL = (5.0, 55.0)
MAP = (5.6013, 53.5705)
ODIM = (5.6013, 53.6854)
PLACE = SMALL.corners_lon_lat()[0]


@dataclass(frozen=True)
class Row:
    """What is right of a case: its files, and either the fields' largest rate and place, or words of the refusal."""

    files: str | Callable[[], Mapping[str, bytes]]
    max_mmh: float = 8.0
    north_west: tuple[float, float] | None = None
    count: int = 10
    observed: float | None = 0.875
    refused: str = ""
    noted: str = ""


TABLE: dict[str, Row] = {
    "01": Row("x.nc", north_west=LL),
    "02": Row("x_in_kilometre.nc", north_west=MAP),
    "04": Row("x_degrees_in_ps.nc", refused="unit of the coordinate x"),
    "06": Row("x.nc", north_west=(-105.0, 45.0)),
    "08": Row("fill_default_9.97e36.nc", north_west=LL, noted="9.96921e+36"),
    "10": Row("tr_minus9999.nc", north_west=LL, count=60, noted="-9999"),
    "11": Row("days_0001.nc", north_west=LL),
    "12": Row("x.nc", count=0),
    "14": Row("x.h5", north_west=ODIM, count=1),
    "15": Row("x.h5", north_west=ODIM, count=1),
    "17": Row("comp_*.h5", 96.0, ODIM, 5, noted="ACRR of 1440 minutes is left out"),
    "18": Row("nodata_nan_float.h5", north_west=ODIM, count=1),
    "20": Row("x.h5", north_west=ODIM, count=1),
    "21": Row("corner_centres.h5", north_west=ODIM, count=1),
    "22": Row("x.h5", north_west=ODIM, count=1),
    "25": Row(lambda: {"scans.tar": with_others()}, 3.0, PLACE, 5, None, noted="README.txt"),
    "29": Row("x.nc", north_west=MAP),
    "30": Row("units_mm_hour-1.nc", north_west=LL),
    "32": Row("x.nc", refused="quality and rr"),
    "33": Row("x.nc", 28_800.0, noted="28800 mm/h"),
    "39": Row(
        lambda: {f"{n}.tar": tar_bytes(forecasts(n)) for n in range(5)}, 3.0, SMALL.corners_lon_lat()[0], 5, None
    ),
    "40": Row("knmi.h5", 9.326, (0.0, 55.9736), 1, None),
}
EXCEPTIONS: dict[tuple[str, str], str] = {
    **{(case, door): NOT_A_FILE for case in ("27", "28", "35", "36") for door in DOORS},
    **{("24", door): OF_UPLOADS for door in DOORS},
    **{
        (case, "training"): FORMATS_OF_TRAINING for case in ("14", "15", "17", "18", "20", "21", "22", "25", "39", "40")
    },
}
PAIRS = [(case, door) for case in TABLE for door in DOORS if (case, door) not in EXCEPTIONS]


def test_every_pair_of_case_and_door_is_in_the_table_or_an_exception(cases: Path) -> None:
    numbers = {case[:2] for case in listed_cases(cases)}
    pairs = {(case, door) for case in numbers for door in DOORS}
    assert pairs == set(PAIRS) | set(EXCEPTIONS)
    assert len(numbers) == 27
    assert not set(PAIRS) & set(EXCEPTIONS)


@pytest.mark.parametrize(("case", "name"), PAIRS)
def test_case_through_door(cases: Path, door: Callable[[str], Door], case: str, name: str) -> None:
    row = TABLE[case]
    files: Files
    if isinstance(row.files, str):
        (folder,) = cases.glob(f"{case}-*")
        files = sorted(folder.glob(row.files))
        assert files
    else:
        files = row.files()
    outcome = door(name)(files)
    if row.refused:
        assert not outcome.frames
        assert outcome.refusal is not None
        assert row.refused in outcome.refusal or name in ("archive", "training")  # which name it in report and log
        return
    check_fields(row, outcome)
    check_texts(row, outcome, name)


def check_fields(row: Row, outcome: CaseOutcome) -> None:
    observations = [frame for frame in outcome.frames if frame.lead_minutes == 0]
    assert len(observations) == row.count, outcome.text
    for frame in observations:
        assert frame.max_mmh == pytest.approx(row.max_mmh, rel=0.02)
        assert row.observed is None or frame.mask_HW.mean() == pytest.approx(row.observed)
        assert frame.time.second == 0
        if row.north_west is not None and frame.north_west is not None:
            assert frame.north_west == pytest.approx(row.north_west, abs=2e-3)


def check_texts(row: Row, outcome: CaseOutcome, name: str) -> None:
    """Nothing is refused but a window of too few fields, and what is masked or left out is named.

    The fields of some cases are the same, so that an upload has the forecast of another one, but notes of its own.
    """
    if outcome.refusal is not None:
        if row.count == 0 and name in ("archive", "training"):
            return  # a forecast alone is nothing to train on
        assert name in ("upload", "predict")
        assert row.count < 5
        assert "expected" in outcome.refusal
    if row.noted and (name in ("folder", "archive") or (name == "upload" and outcome.refusal is None)):
        assert row.noted in outcome.text


@pytest.mark.parametrize("name", READER_DOORS)
def test_case_39_real_forecasts_with_their_analysis(shared_data: Path, door: Callable[[str], Door], name: str) -> None:
    """DWD's RV of 2025 as a tar of an analysis and a forecast: the analysis alone is an observation."""
    outcome = door(name)(shared_data / "radolan" / "composite_rv_20250923_0855.tar")
    (frame,) = [frame for frame in outcome.frames if frame.lead_minutes == 0]
    assert frame.time == datetime(2025, 9, 23, 8, 55, tzinfo=UTC)
    assert frame.product == "RV"
    assert frame.rate_mmh_HW.shape == (1200, 1100)
    assert not [other for other in outcome.frames if other.lead_minutes > 0]
    if name == "folder":
        assert "1 forecasts" in outcome.text


@pytest.mark.parametrize("change", [{"max_mmh": 9.0}, {"north_west": (55.0, 5.0)}, {"count": 9}, {"observed": 1.0}])
def test_the_table_can_fail(cases: Path, door: Callable[[str], Door], change: dict[str, Any]) -> None:
    outcome = door("predict")(cases / "01-imerg-time-lon-lat" / "x.nc")
    check_fields(TABLE["01"], outcome)
    with pytest.raises(AssertionError):
        check_fields(replace(TABLE["01"], **change), outcome)
