"""ASCII grids: the time from the name, the unit from the no-data value, and cuts from the number of rows."""

import numpy as np
import pytest

from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import RADOLAN_900, RADOLAN_1100
from core.times import utc
from ingest.readers import read_frames

NAME = "RW_20240601-1550.asc"
ROW_OF_900 = "0 " * 899 + "-1\n"


def grid(
    rows: list[str] | None = None,
    *,
    ncols: int = 900,
    nrows: int = 900,
    west: float = -523462,
    south: float = -4658645,
    cell: int = 1000,
    nodata: str = "-1",
) -> bytes:
    lines = [ROW_OF_900] * 900 if rows is None else rows
    header = (
        f"ncols {ncols}\nnrows {nrows}\nxllcorner {west}\nyllcorner {south}\ncellsize {cell}\nNODATA_value {nodata}\n"
    )
    return (header + "".join(lines)).encode()


def read(content: bytes, name: str = NAME) -> RadarFrame:
    (frame,) = read_frames(content, name=name)
    return frame


def test_tenths_of_a_millimetre_from_the_north() -> None:
    frame = read(grid(["25 " + "0 " * 899 + "\n", *[ROW_OF_900] * 899]))
    assert (frame.valid_time, frame.product) == (utc("2024-06-01T15:50Z"), "RW")
    assert (frame.interval_minutes, frame.lead_minutes, frame.grid) == (60.0, 0, RADOLAN_900)
    assert frame.rate_mmh_HW[0, 0] == pytest.approx(2.5)
    assert frame.provider == "Deutscher Wetterdienst (CC BY 4.0)"
    assert np.isfinite(frame.rate_mmh_HW[0]).all()
    assert np.isnan(frame.rate_mmh_HW[1:, -1]).all()
    assert (frame.rate_mmh_HW[1:, :-1] == 0).all()


def test_radklim_counts_millimetres_on_the_extended_grid() -> None:
    row = "0.3 " + "0 " * 898 + "-9999\n"
    content = grid([row] * 1100, nrows=1100, west=-443462, south=-4758645, nodata="-9999")
    frame = read(content, "folder/RW_2017.002_20160601_1550.asc")
    assert (frame.valid_time, frame.grid) == (utc("2016-06-01T15:50Z"), RADOLAN_1100)
    assert frame.rate_mmh_HW[0, 0] == pytest.approx(0.3)
    assert np.isnan(frame.rate_mmh_HW[:, -1]).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "holds no time; expected a file name like RW_20221018-0050.asc"),
        ("latest.asc", "holds no time"),
        ("RY_20240601-1550.asc", "expected the product RW, got RY"),
        ("RW_20241301-1550.asc", "ASCII grid's name: expected a time yyyymmdd-HHMM, got 20241301-1550"),
    ],
)
def test_names_without_product_or_time(name: str, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        read(grid(), name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (grid([ROW_OF_900] * 899), r"holds \(899, 900\) numbers; its header states \(900, 900\)"),
        (grid([ROW_OF_900] * 901), r"holds \(901, 900\) numbers"),
        (grid(["0 0\n", *[ROW_OF_900] * 899]), "does not parse"),
        (grid([ROW_OF_900.replace("0 ", "x ", 1), *[ROW_OF_900] * 899]), "does not parse"),
        (grid([ROW_OF_900.replace("0 ", "-5 ", 1), *[ROW_OF_900] * 899]), "expected rates of 0 mm/h or more, got -0.5"),
        (grid([ROW_OF_900.replace("0 ", "inf ", 1), *[ROW_OF_900] * 899]), "infinite rates"),
        (grid()[:-1], "ends within a line: cut"),
        (grid([]), "ends within a line: cut"),
        (grid(west=-520000), "corner at -523462, -4658645 and cells of 1000 m, got -520000, "),
        (grid(cell=2000), "and 2000 m"),
        (grid(ncols=800), "expected one of .* cells, got 900 x 800"),
        (grid(nodata="-7"), r"no-data value: expected -1 \(0.1 mm\) or -9999 \(1.0 mm\), .*; got -7"),
        (grid(nodata="nan"), "no-data value: .*; got nan"),
        (grid().replace(b"cellsize", b"cellsise"), "expected .*, cellsize, nodata_value, got"),
        (grid().replace(b"nrows 900", b"nrows"), "ASCII grid header: expected six lines"),
        (b"ncols 900\n", "expected six lines of a name and a number"),
    ],
)
def test_unusable_grids_name_what_was_expected_and_found(content: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        read(content)
