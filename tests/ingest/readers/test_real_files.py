"""Every DWD file of the shared data against `expected_values.json`, which other software read."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wradlib.io.radolan import read_radolan_composite

from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import DE1200, RADOLAN_900, RADOLAN_1100, dwd_grid
from core.times import utc
from core.units import DRY_DBZ, DWD_ZR
from ingest.readers import read_frames

GRIDS = {
    "raa01-rx_10000-1408102050-dwd---bin.gz": RADOLAN_900,
    "raa01-ry_10000-1408102050-dwd---bin.gz": RADOLAN_900,
    "raa01-rz_10000-1408102050-dwd---bin.gz": RADOLAN_900,
    "raa01-rw_10000-1408102050-dwd---bin.gz": RADOLAN_900,
    "raa01-sf_10000-1408102050-dwd---bin.gz": RADOLAN_900,
    "raa01-wx_10000-1408102050-dwd---bin.gz": RADOLAN_1100,
    "raa01-ex_10000-1408102050-dwd---bin.gz": dwd_grid(1500, 1400, wgs84=False),
    "RQ2210180700_000.gz": dwd_grid(900, 900, wgs84=True),
    "RQ2210180700_060.gz": dwd_grid(900, 900, wgs84=True),
    "RW-20221018.tar.gz": RADOLAN_900,
    "raa01-yw2017.002_10000-1708160055-dwd---bin.gz": RADOLAN_1100,
    "DE1200_RV2305081330.tar.bz2": DE1200,
    "raa01-ry_10000-2509212320-dwd---bin.bz2": RADOLAN_900,
    "raa01-rw_10000-latest-dwd---bin.hdf5": DE1200,
    "composite_rv_20250923_0855.tar": DE1200,
}
REFUSED = {
    "raa01-pg_10000-1408102045-dwd---bin.gz": "PG",
    "RE2210180700_000.gz": "RE",
    "RE2210180700_060.gz": "RE",
    "RE2210180700_120.gz": "RE",
}
Expected = dict[str, Any]


@pytest.fixture(scope="module")
def expected(shared_data: Path) -> list[Expected]:
    entries: list[Expected] = json.loads((shared_data / "radolan" / "expected_values.json").read_text())
    return entries


@pytest.fixture(scope="module")
def frames_of(shared_data: Path) -> Callable[[str], list[RadarFrame]]:
    return cache(lambda name: read_frames(shared_data / "radolan" / name))


def test_no_expected_file_is_left_out(expected: list[Expected]) -> None:
    assert {entry["file"] for entry in expected} == {*GRIDS, *REFUSED}


@pytest.mark.parametrize("name", GRIDS)
def test_values_and_places_are_the_expected_ones(name: str, expected: list[Expected], frames_of) -> None:
    entries = [entry for entry in expected if entry["file"] == name]
    frames = frames_of(name)
    assert len(frames) == len(entries) > 0
    for frame, entry in zip(frames, entries, strict=True):
        check_statistics(frame, entry)
        check_place_of_maximum(frame, entry)
        check_time(frame, entry)
        assert frame.product == entry["product"][:2]
        assert frame.grid is GRIDS[name]


def per_hour(entry: Expected) -> float:
    """The factor from the entry's unit (`mm / 5 min`, `mm / 24 h`) to mm/h."""
    found = re.fullmatch(r"mm / (\d+) (min|h)", entry["unit"])
    assert found, entry["unit"]
    return 60 / int(found[1]) if found[2] == "min" else 1 / int(found[1])


def check_statistics(frame: RadarFrame, entry: Expected) -> None:
    rate_mmh_HW = frame.rate_mmh_HW.astype(np.float64)
    observed_N = rate_mmh_HW[np.isfinite(rate_mmh_HW)]
    assert observed_N.size == entry["valid"]
    assert rate_mmh_HW.size - observed_N.size == entry["nodata"] + entry["clutter"]
    assert (observed_N > 0).sum() == entry["count_gt_0"]
    if "dbz_max" in entry:
        with np.errstate(divide="ignore"):
            dbz_N = np.maximum(DWD_ZR.reflectivity_dbz(observed_N), DRY_DBZ)
        values, low, high, mean = dbz_N, entry["dbz_min"], entry["dbz_max"], entry["dbz_mean"]
        rounding = 5e-6
    else:
        factor = per_hour(entry)
        values, low, high, mean = observed_N, *(entry[key] * factor for key in ("min", "max", "mean"))
        rounding = 6e-7 * factor
    assert values.min() == low
    assert values.max() == pytest.approx(high, rel=1e-6)
    assert values.mean() == pytest.approx(mean, rel=1e-6, abs=rounding)


def check_place_of_maximum(frame: RadarFrame, entry: Expected) -> None:
    from_south = entry["row_0"].startswith("south")
    in_file_order_HW = frame.rate_mmh_HW[::-1] if from_south else frame.rate_mmh_HW
    first = np.unravel_index(np.nanargmax(in_file_order_HW), frame.grid.shape)
    assert list(map(int, first)) == entry["first_max_row_col"]
    assert list(frame.grid.shape) == entry["shape"]


def check_time(frame: RadarFrame, entry: Expected) -> None:
    assert frame.lead_minutes == (entry["lead_time_min"] or 0)
    assert frame.reference_time == utc(entry["header_time"])
    assert frame.is_forecast == (frame.lead_minutes > 0)


@pytest.mark.parametrize(("name", "product"), REFUSED.items())
def test_products_without_rain_rates_are_refused_by_name(name: str, product: str, shared_data: Path) -> None:
    with pytest.raises(FrameError, match=rf"{re.escape(name)}: product: expected one of .*, got {product}, which is "):
        read_frames(shared_data / "radolan" / name)


@pytest.mark.parametrize(
    ("name", "minutes"),
    [
        ("raa01-rx_10000-1408102050-dwd---bin.gz", 0),
        ("raa01-ry_10000-1408102050-dwd---bin.gz", 5),
        ("raa01-sf_10000-1408102050-dwd---bin.gz", 1440),
        ("RQ2210180700_060.gz", 60),
        ("RW-20221018.tar.gz", 60),
        ("raa01-rw_10000-latest-dwd---bin.hdf5", 60),
        ("composite_rv_20250923_0855.tar", 5),
    ],
)
def test_interval_is_read_from_the_file(name: str, minutes: int, frames_of) -> None:
    assert {frame.interval_minutes for frame in frames_of(name)} == {minutes}


def test_undetect_of_odim_is_exactly_dry_and_nothing_is_below(frames_of) -> None:
    for frame in frames_of("composite_rv_20250923_0855.tar"):
        assert np.nanmin(frame.rate_mmh_HW) == 0.0
        assert (frame.rate_mmh_HW == 0).mean() > 0.4


def test_clutter_flagged_cells_of_yw_are_not_observed(shared_data: Path, frames_of) -> None:
    name = "raa01-yw2017.002_10000-1708160055-dwd---bin.gz"
    _, attrs = read_radolan_composite(str(shared_data / "radolan" / name))
    from_south_N = frames_of(name)[0].rate_mmh_HW[::-1].ravel()
    assert len(attrs["cluttermask"]) == 4028
    assert np.isnan(from_south_N[attrs["cluttermask"]]).all()


def test_cells_of_the_secondary_source_are_observed(shared_data: Path, frames_of) -> None:
    name = "raa01-rw_10000-1408102050-dwd---bin.gz"
    _, attrs = read_radolan_composite(str(shared_data / "radolan" / name))
    from_south_N = frames_of(name)[0].rate_mmh_HW[::-1].ravel()
    assert len(attrs["secondary"]) == 23032
    assert np.isfinite(from_south_N[attrs["secondary"]]).all()


def test_sequence_is_thirteen_whole_scans_as_wradlib_reads_them(shared_data: Path) -> None:
    files = sorted((shared_data / "radolan" / "sequence_ry_20200101").iterdir())
    frames = [frame for file in files for frame in read_frames(file)]
    start = utc("2020-01-01T15:00Z")
    assert [frame.valid_time for frame in frames] == [start + timedelta(minutes=5 * n) for n in range(13)]
    for file, frame in zip(files, frames, strict=True):
        depth_mm_HW, _ = read_radolan_composite(str(file), missing=np.nan)
        np.testing.assert_allclose(frame.rate_mmh_HW, depth_mm_HW[::-1] * 12, rtol=1e-6)
        assert (frame.product, frame.lead_minutes, frame.missing_radars) == ("RY", 0, ())


def test_networks_before_the_present_one_miss_no_radar(frames_of) -> None:
    for name in ("raa01-ry_10000-1408102050-dwd---bin.gz", "raa01-yw2017.002_10000-1708160055-dwd---bin.gz"):
        assert frames_of(name)[0].missing_radars == ()
