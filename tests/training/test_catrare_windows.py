"""Windows of the benchmark of RainNet2024 from invented RADKLIM YW: catalogue, folders, order, gaps, cut-outs."""

import gzip
import tarfile
from datetime import timedelta

import numpy as np
import pytest

from core.errors import ConfigError
from core.grid import RADOLAN_1100
from ingest.readers import read_frames
from tests.training import radklim_days as days
from tests.training.radklim_days import START
from training.catrare import folder
from training.catrare.catalogue import CatalogueEvent, read_catalogue
from training.catrare.protocol import CatrareProtocol
from training.catrare.windows import HourWindows

SMALL = CatrareProtocol(size_cells=64, past_fields=6, every_minutes=30)
EVENT = CatalogueEvent("7", START + timedelta(hours=1), START + timedelta(hours=2), *days.LON_LAT)


@pytest.fixture(scope="session")
def radklim(tmp_path_factory):
    """Three hours: in binary, months of days in tar.gz, and in NetCDF."""
    folder = tmp_path_factory.mktemp("radklim")
    days.write_month(folder / "binary" / "2019", days.times(3))
    days.write_day(folder / "netcdf", days.times(3))
    return folder


def test_a_real_file_has_the_bytes_of_the_invented_ones(shared_data):
    path = shared_data / "radolan" / "raa01-yw2017.002_10000-1708160055-dwd---bin.gz"
    original = gzip.decompress(path.read_bytes())
    counts = np.frombuffer(original, "<u2", offset=len(original) - 2 * 1100 * 900).reshape(1100, 900)
    (frame,) = read_frames(path)
    assert days.yw_bytes(frame.valid_time, counts[::-1]) == original


@pytest.mark.parametrize("layout", ["binary", "netcdf"])
def test_both_layouts_give_the_windows_worked_out_by_hand(radklim, layout):
    windows = HourWindows(radklim / layout, [EVENT], SMALL)
    found = list(windows)
    assert [window.reference_time for window in found] == [
        START + timedelta(minutes=minutes) for minutes in (35, 65, 95)
    ]
    assert (windows.tally.planned, windows.tally.complete, windows.tally.incomplete) == (4, 3, 1)
    rows, cols = slice(days.ROW - 32, days.ROW + 32), slice(days.COL - 32, days.COL + 32)
    for window in found:
        ago = [window.reference_time - timedelta(minutes=5 * number) for number in range(5, -1, -1)]
        expected = np.stack([days.counts_HW(time)[rows, cols] * 0.12 for time in ago])
        np.testing.assert_allclose(window.past_THW, expected, rtol=1e-6)
        ahead = [window.reference_time + timedelta(minutes=5 * number) for number in range(1, 13)]
        sum_mm = np.sum([days.counts_HW(time)[rows, cols].astype(float) for time in ahead], axis=0) / 100
        np.testing.assert_allclose(window.observed_mm_HW, sum_mm, atol=1e-4)


def test_every_five_minutes_is_a_start_whose_hour_overlaps_the_event():
    minutes = [*CatrareProtocol().reference_minutes(EVENT)]
    assert len(minutes) == 23
    assert minutes[0] * 60 == (EVENT.start - timedelta(minutes=55)).timestamp()
    assert minutes[-1] * 60 == (EVENT.end - timedelta(minutes=5)).timestamp()


def test_a_cut_out_is_moved_inwards_and_a_cell_without_data_is_nan(radklim):
    corner = RADOLAN_1100.to_lon_lat(RADOLAN_1100.x_centres_m[:1], RADOLAN_1100.y_centres_m[-1:])
    event = CatalogueEvent("8", EVENT.start, EVENT.end, float(corner[0][0]), float(corner[1][0]))
    (window, *_) = HourWindows(radklim / "binary", [event], SMALL)
    assert window.past_THW.shape == (6, 64, 64)
    assert np.isnan(window.observed_mm_HW[:, :20]).all()
    assert np.isfinite(window.observed_mm_HW[:, 20:]).all()


def test_events_off_the_grid_are_named_and_those_without_an_observed_cell_counted(radklim):
    protocol = CatrareProtocol(size_cells=16, past_fields=6, every_minutes=30)
    corner = RADOLAN_1100.to_lon_lat(RADOLAN_1100.x_centres_m[:1], RADOLAN_1100.y_centres_m[-1:])
    unseen = CatalogueEvent("8", EVENT.start, EVENT.end, float(corner[0][0]), float(corner[1][0]))
    windows = HourWindows(
        radklim / "binary", [CatalogueEvent("9", EVENT.start, EVENT.end, 30.0, 60.0), unseen], protocol
    )
    assert not list(windows)
    assert windows.tally.outside == {"9"}
    assert (len(windows.tally.uncovered), windows.tally.incomplete) == (3, 5)


def test_a_missing_field_costs_the_windows_that_need_it(tmp_path):
    times = days.times(3)
    missing = START + timedelta(minutes=100)
    days.write_month(tmp_path, [time for time in times if time != missing])
    windows = HourWindows(tmp_path, [EVENT], SMALL)
    assert [window.reference_time for window in windows] == [START + timedelta(minutes=35)]
    assert windows.tally.incomplete == 3
    windows = HourWindows(tmp_path, [EVENT], CatrareProtocol(size_cells=64, past_fields=7, every_minutes=5))
    references = [(window.reference_time - START) // timedelta(minutes=1) for window in windows]
    assert references == [20, 25, 30, 35], "from 40 on the hour lacks the field, from 105 to 115 the past is too short"


def test_files_of_other_times_are_not_opened_and_damaged_ones_are_named(tmp_path):
    days.write_month(tmp_path, days.times(3))
    for name in ("YW2017.002_201905.tar.gz", "YW_2017.002_20190612.nc", "raa01-yw2017.002_10000-1906110855-dwd---bin"):
        (tmp_path / name).write_bytes(b"damaged")
    (tmp_path / "raa01-yw2017.002_10000-1906111455-dwd---bin").write_bytes(b"damaged")
    (tmp_path / ".hidden").write_bytes(b"damaged")
    windows = HourWindows(tmp_path, [EVENT], SMALL)
    assert len(list(windows)) == 3
    (reason,) = windows.tally.unreadable
    assert "1906111455" in reason


@pytest.mark.parametrize(
    ("name", "minutes"),
    [
        ("2019/YW2017.002_201906.tar.gz", 31 * 1440),
        ("a/YW_2017.002_20190611.nc", 1440),
        ("YW2017.002_20190611.tar.gz/raa01-yw2017.002_10000-1906111455-dwd---bin", 0),
        ("YW-190611.tar.gz", 1440),
        ("YW-201206.tar.gz", None),
        ("19061101.bin", None),
        ("YW2017.002_2017_netcdf.tar.gz", None),
        ("2019/day.nc/3", None),
        ("YW2017.002_2019_netcdf.tar.gz/2019/06/YW_2017.002_20190611.nc/177", 1440),
    ],
)
def test_the_name_of_a_file_states_a_month_a_day_a_time_or_nothing_certain(name, minutes):
    period = folder.stated_period(name)
    assert (period and period[1] - period[0]) == minutes
    assert period is None or period[0] <= START.timestamp() // 60 + 55 <= period[1]


def test_two_layouts_of_the_same_days_in_one_folder_are_refused(radklim):
    with pytest.raises(ConfigError, match="order by name is the order of time"):
        list(HourWindows(radklim, [EVENT], SMALL))


def test_a_time_that_two_files_have_is_used_once(tmp_path):
    days.write_month(tmp_path, days.times(3))
    last = days.times(3)[-2]
    (tmp_path / days.yw_name(last)).write_bytes(days.yw_bytes(last, days.counts_HW(last)))
    windows = HourWindows(tmp_path, [EVENT], CatrareProtocol(size_cells=64, past_fields=6, every_minutes=5))
    assert windows.tally.planned == 23
    assert len(list(windows)) == windows.tally.complete
    assert len(windows.tally.repeated) == 1


def test_other_grids_and_intervals_are_refused(shared_data, tmp_path):
    hour = START.replace(hour=14, minute=50)
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        path = shared_data / "radolan" / "raa01-rw_10000-1408102050-dwd---bin.gz"
        archive.add(path, path.name)
    event = CatalogueEvent(
        "1",
        hour.replace(year=2014, month=8, day=10, hour=20),
        hour.replace(year=2014, month=8, day=10, hour=21),
        9.0,
        51.0,
    )
    with pytest.raises(ConfigError, match=r"expected sums of 5 minutes on cells of 1 km.* got RW of 60 minutes"):
        list(HourWindows(tmp_path, [event], SMALL))


EDITIONS = {
    "v2026.01": "KEY_FIELD,Date_START,Date_END,x_RRmaxPRJ,y_RRmaxPRJ\n"
    "20815,2019-06-11 16:50:00,2019-06-11 19:50:00,{x},{y}\n",
    "v2021.01": "ID,LEVEL,Date_START,Date_END,lon,lat\n20815,W3,201906111650,201906111950,{lon},{lat}\n",
    "semicolons": "\ufeffevent_id;Start_Time;End_Time;x_RRmax;y_RRmax\n"
    "20815;2019-06-11T16:50Z;2019-06-11T19:50Z;{lon};{lat}\n",
}


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_editions_of_the_catalogue_are_read(tmp_path, edition):
    x, y = RADOLAN_1100.x_centres_m[days.COL], RADOLAN_1100.y_centres_m[days.ROW]
    lon, lat = days.LON_LAT
    path = tmp_path / "catrare.csv"
    path.write_text(EDITIONS[edition].format(x=x, y=y, lon=lon, lat=lat), "utf-8")
    (event,) = read_catalogue(path)
    assert (event.name, event.day) == ("20815", "2019-06-11")
    assert event.end - event.start == timedelta(hours=3)
    assert RADOLAN_1100.cell_of(event.lat, event.lon) == (days.ROW, days.COL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty file"),
        ("ID,Date_START,Date_END\n", r"expected the columns .*x_RRmaxPRJ\+y_RRmaxPRJ.* got 'ID, Date_START, Date_END'"),
        ("ID,Date_START,Date_END,lon,lat\n", "expected events of 2019, 2020, got no row"),
        ("ID,Date_START,Date_END,lon,lat\n1,201806111650,201806111950,9,51\n", "got events of 2018 to 2018"),
        ("ID,Date_START,Date_END,lon,lat\n1,201913111650,201906111950,9,51\n", "row 2: Date_START: expected a time"),
        ("ID,Date_START,Date_END,lon,lat\n1,201906111650,201906111650,9,51\n", "row 2: expected an end within"),
        ("ID,Date_START,Date_END,lon,lat\n1,201906111650,201906111950,,51\n", "row 2: lon, lat: expected two numbers"),
        ("ID,Date_START,Date_END,lon,lat\n1,201906111650,201906111950,4e5,51\n", "expected degrees, or metres"),
        ("ID,Date_START,Date_END,lon,lat\n1,201906111650\n", "row 2: Date_END: expected a time"),
    ],
)
def test_other_tables_are_refused_by_row_and_column(tmp_path, text, message):
    path = tmp_path / "catrare.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_catalogue(path)


def test_a_database_is_not_a_table(tmp_path):
    path = tmp_path / "catrare.gpkg"
    path.write_bytes(b"SQLite format 3\0")
    with pytest.raises(ConfigError, match="got a binary file"):
        read_catalogue(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_catalogue(tmp_path / "other.csv")


@pytest.mark.parametrize("wrong", [{"every_minutes": 7}, {"past_fields": 4}, {"years": ()}, {"size_cells": 0}])
def test_a_protocol_without_a_meaning_is_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        CatrareProtocol(**wrong)
