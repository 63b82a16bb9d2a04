"""Composites of ODIM_H5 and KNMI that people have, through every door that reads them."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from core.times import utc
from ingest.readers import read_frames
from tests.cases.doors import READER_DOORS, CaseOutcome, Door
from tests.ingest.readers.knmi_files import knmi_file
from tests.ingest.readers.odim_files import (
    STEREO_KM,
    Dialect,
    accumulation_of_a_day,
    lon_lat_of,
    odim_file,
    quality_dataset,
    velocity_first,
)

END = utc("2026-06-01T12:00Z")
SHAPE = (60, 80)
REBUILT = {
    "14-odim-quality-dataset": Dialect(change=quality_dataset),
    "14-velocity-next-to-rain": Dialect(change=velocity_first),
    "15-odim-nominal-time-before-end": Dialect(nominal=0.0),
    "15-odyssey": Dialect(nominal=2 / 3, minutes=15),
    "17-odim-two-accumulations": Dialect(quantity="ACRR", change=accumulation_of_a_day),
    "18-odim-nan": Dialect(dtype="f4", gain=None, offset=None, nodata=np.nan, undetect=None),
    "20-odim-without-conventions": Dialect(conventions=None),
    "21-odim-two-corners": Dialect(corners=("LL", "UR")),
    "21-odim-corners-at-centres": Dialect(at_centres=True),
    "22-odim-scale-in-km": Dialect(scale=0.001),
    "22-odim-projection-in-km": Dialect(projdef=STEREO_KM),
}


def rain() -> np.ndarray:
    """A shower of 12 mm/h, and columns that are not observed."""
    rate_mmh_HW = np.zeros(SHAPE)
    rate_mmh_HW[10:20, 30:40] = 12.0
    rate_mmh_HW[:, :10] = np.nan
    return rate_mmh_HW


def check(outcome: CaseOutcome, north_west: tuple[float, float], max_mmh: float) -> None:
    assert outcome.frames, outcome.text
    for frame in outcome.frames:
        assert frame.lead_minutes == 0
        assert frame.max_mmh == pytest.approx(max_mmh, rel=1e-3)
        assert frame.mask_HW.mean() == pytest.approx(0.875)
        if frame.north_west is not None:
            assert frame.north_west == pytest.approx(north_west, abs=1e-4)


@pytest.mark.parametrize("name", READER_DOORS)
@pytest.mark.parametrize("case", REBUILT)
def test_rebuilt_inputs_are_read_through_every_door(door: Callable[[str], Door], name: str, case: str) -> None:
    dialect = REBUILT[case]
    ends = [END + timedelta(minutes=30 * number) for number in range(5)]
    outcome = door(name)({f"{number}.h5": odim_file(dialect, rain(), end) for number, end in enumerate(ends)})
    check(outcome, lon_lat_of(dialect, *SHAPE, 0.0)["UL"], 12.0)
    assert [frame.time for frame in outcome.frames] == ends
    if name == "folder":
        assert outcome.refusal is None
        assert "forecasts" not in outcome.text


FILES = (
    *("14-odim-quality-dataset/x.h5", "15-odim-nominal-time-before-end/x.h5", "20-odim-without-conventions/x.h5"),
    *("18-odim-nan-and-missing-gain/no_gain_offset.h5", "18-odim-nan-and-missing-gain/nodata_nan_float.h5"),
    *("18-odim-nan-and-missing-gain/no_undetect.h5", "21-odim-corners/two_corners.h5"),
    *("21-odim-corners/corner_centres.h5", "22-odim-scale-in-km/x.h5"),
)


@pytest.mark.parametrize("file", FILES)
def test_files_of_the_cases_have_one_place_and_value(cases: Path, door: Callable[[str], Door], file: str) -> None:
    outcome = door("folder")([cases / file])
    assert outcome.refusal is None
    check(outcome, (5.601294645, 53.685436478), 8.0)
    assert [frame.time for frame in outcome.frames] == [END]


def test_the_accumulation_of_five_minutes_is_chosen(cases: Path, door: Callable[[str], Door]) -> None:
    outcome = door("archive")(sorted((cases / "17-odim-two-accumulations").glob("*.h5")))
    check(outcome, (5.601294645, 53.685436478), 8.0 * 12)  # 8 mm in 5 minutes
    assert len(outcome.frames) == 5


@pytest.mark.parametrize("name", READER_DOORS)
def test_knmi_s_accumulations_are_read_through_every_door(door: Callable[[str], Door], name: str) -> None:
    counts = np.zeros((40, 30), "u2")
    counts[5:9, 3:7] = 100
    counts[:, 20:] = 65535
    content = knmi_file("PRECIP_[MM]", "GEO=0.01*PV+0.0", counts, missing=65535, outside=65535)
    (frame,) = door(name)({"knmi.h5": content}).frames
    assert frame.time == utc("2021-06-22T20:05Z")
    assert frame.max_mmh == pytest.approx(12.0)
    np.testing.assert_array_equal(frame.mask_HW, counts != 65535)


def test_knmi_s_reflectivity_has_dry_cells_and_missing_ones(cases: Path) -> None:
    (frame,) = read_frames(cases / "40-knmi-hdf5-message" / "knmi.h5")
    assert frame.valid_time == utc("2021-06-22T20:00Z")
    assert frame.grid.corners_lon_lat()[0] == pytest.approx((0.0, 55.9736), abs=1e-4)
    assert frame.grid.corners_lon_lat()[2] == pytest.approx((9.0093, 48.8953), abs=1e-4)
    assert np.nanmax(frame.rate_mmh_HW) == pytest.approx((10**3.85 / 200) ** (1 / 1.6), rel=1e-5)
    assert frame.missing_radars == ("DeBilt",)
    assert 0.8 < frame.coverage < 0.81
