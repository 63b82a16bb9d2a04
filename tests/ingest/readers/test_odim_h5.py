"""ODIM HDF5: the golden file with one thing changed at a time."""

import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from core.errors import FrameError, TooLargeError
from core.frame import RadarFrame
from core.times import utc
from core.units import DWD_ZR
from ingest.readers import read_frames

GOLDEN = Path(__file__).parents[2] / "golden" / "odim-h5.hdf5"
Change = Callable[[Any], object]


def changed(change: Change) -> bytes:
    file = io.BytesIO(GOLDEN.read_bytes())
    with h5py.File(file, "r+") as root:
        change(root)
    return file.getvalue()


def read(change: Change) -> RadarFrame:
    (frame,) = read_frames(changed(change), name="odim")
    return frame


def attribute(path: str, name: str, value: Any) -> Change:
    stored = np.bytes_(value) if isinstance(value, str) else value
    return lambda root: root[path].attrs.__setitem__(name, stored)


def values(*rows: int) -> Change:
    """Raw counts of the first cells of row 0."""
    return lambda root: root["dataset1/data1/data"].__setitem__((0, slice(len(rows))), rows)


def both(*changes: Change) -> Change:
    return lambda root: [change(root) for change in changes]


def test_undetect_no_data_and_the_smallest_count() -> None:
    frame = read(values(0, 65535, 1, 2))
    assert frame.rate_mmh_HW[0, 0] == 0
    assert np.isnan(frame.rate_mmh_HW[0, 1])
    np.testing.assert_allclose(frame.rate_mmh_HW[0, 2:4], [0.0, 0.12], rtol=1e-6)


def test_accumulation_uses_its_own_interval() -> None:
    hour = read(attribute("dataset1/what", "starttime", "143000"))
    assert hour.interval_minutes == 60
    assert np.nanmax(hour.rate_mmh_HW) == pytest.approx(0.25, rel=1e-6)


def test_rate_is_taken_as_it_is() -> None:
    frame = read(attribute("dataset1/data1/what", "quantity", "RATE"))
    assert np.nanmax(frame.rate_mmh_HW) == pytest.approx(0.25)
    assert frame.interval_minutes == 5


def test_reflectivity_is_converted_by_dwds_relation() -> None:
    what = "dataset1/data1/what"
    scale = both(attribute(what, "quantity", "DBZH"), attribute(what, "gain", 0.5), attribute(what, "offset", -32.5))
    frame = read(both(scale, values(0, 65535, 145)))
    expected = np.array([0.0, np.nan, float(DWD_ZR.rate_mmh(np.array(40.0)))])
    np.testing.assert_allclose(frame.rate_mmh_HW[0, :3], expected, rtol=1e-6)
    assert frame.interval_minutes == 0


def test_lead_is_from_the_nominal_time_to_the_end() -> None:
    frame = read(attribute("what", "time", "150000"))
    assert (frame.lead_minutes, frame.reference_time) == (30, utc("2024-06-01T15:00Z"))
    assert read(attribute("what", "time", "153500")).lead_minutes == 0


def test_every_data_set_is_a_frame_in_the_order_of_its_number() -> None:
    def add(root: Any) -> None:
        for number in (2, 10):
            root.copy("dataset1", f"dataset{number}")
            root[f"dataset{number}/what"].attrs["endtime"] = np.bytes_(f"15{30 + number}00")

    frames = read_frames(changed(add))
    first = utc("2024-06-01T15:30Z")
    assert [frame.valid_time - first for frame in frames] == [timedelta(minutes=n) for n in (0, 2, 10)]
    with pytest.raises(TooLargeError, match="expected at most 2 frames, got 3"):
        read_frames(changed(add), max_frames=2)


def test_missing_radars_of_the_dwd() -> None:
    assert read(lambda root: None).missing_radars == ("umd",)
    assert read(attribute("how", "missing_nodes", "'deboo'")).missing_radars == ("boo", "umd")
    assert read(lambda root: root.__delitem__("how")).missing_radars == ()
    elsewhere = both(attribute("what", "source", "ORG:247"), attribute("how", "missing_nodes", "'fianj'"))
    assert read(elsewhere).missing_radars == ("fianj",)


def test_product_name() -> None:
    assert read(attribute("dataset1/what", "prodname", "RV_top_view")).product == "RV"
    assert read(lambda root: root["dataset1/what"].attrs.__delitem__("prodname")).product == "ACRR"


def delete(path: str) -> Change:
    return lambda root: root.__delitem__(path)


def external_link(root: Any) -> None:
    del root["dataset1/data1/data"]
    root["dataset1/data1/data"] = h5py.ExternalLink("/etc/hostname", "/data")


def external_storage(root: Any) -> None:
    del root["dataset1/data1/data"]
    root["dataset1/data1"].create_dataset("data", (40, 36), "u2", external=[("/etc/hostname", 0, 2880)])


def virtual(root: Any) -> None:
    del root["dataset1/data1/data"]
    layout = h5py.VirtualLayout((40, 36), "u2")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "data", (40, 36))
    root["dataset1/data1"].create_virtual_dataset("data", layout)


def other_data(data: Any) -> Change:
    def change(root: Any) -> None:
        del root["dataset1/data1/data"]
        root["dataset1/data1"].create_dataset("data", data=data)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (attribute("what", "object", "PVOL"), "odim: ODIM what/object: expected one of COMP, IMAGE, got PVOL"),
        (attribute("dataset1/data1/what", "quantity", "VIL"), "expected RATE, ACRR, DBZH, TH, got VIL"),
        (attribute("where", "LR_lon", 11.5), "corner LR is .* from where UL and 40 x 36 cells"),
        (attribute("where", "UL_lat", 51.0), "corner .* expected less than 0.4 cells"),
        (attribute("where", "xscale", 1000.0), "corner UR"),
        (attribute("where", "projdef", "+proj=nonsense"), "expected a projection that PROJ knows, got"),
        (attribute("where", "xsize", "many"), "where/xsize: expected a number, got"),
        (attribute("where", "xsize", np.nan), "where/xsize: expected a finite number, got nan"),
        (attribute("where", "xsize", 37), "corner UR|numbers of shape"),
        (attribute("dataset1/data1/what", "gain", np.inf), "what/gain: expected a finite number, got inf"),
        (attribute("dataset1/data1/what", "offset", -5.0), "expected rates of 0 mm/h or more, got -"),
        (attribute("dataset1/what", "starttime", "153000"), "expected an end after the start"),
        (attribute("dataset1/what", "starttime", "160000"), "expected an end after the start"),
        (attribute("dataset1/what", "endtime", "late"), "expected a time yyyymmdd and HHMMSS"),
        (delete("where"), "ODIM file without .*where/projdef"),
        (delete("dataset1"), "ODIM file without dataset1"),
        (delete("dataset1/data1/data"), "expected numbers of shape .*, got nothing"),
        (delete("dataset1/data1"), "got no data"),
        (delete("what"), "ODIM file without /what/object"),
        (other_data(np.zeros((36, 40), "u2")), r"expected numbers of shape \(40, 36\), got uint16 \(36, 40\)"),
        (other_data(np.full((40, 36), b"x")), "numbers of shape"),
        (external_link, "HDF5 part dataset1/data1/data refers to another file"),
        (external_storage, "HDF5 part dataset1/data1/data refers to another file"),
        (virtual, "HDF5 part dataset1/data1/data refers to another file"),
    ],
)
def test_unusable_files_name_what_was_expected_and_found(change: Change, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        read(change)


def test_declared_but_unwritten_cells_count_against_the_limit() -> None:
    def bomb(root: Any) -> None:
        root["dataset1/data1"].create_dataset("more", (10**6, 10**6), "f8", chunks=(1000, 1000))

    content = changed(bomb)
    assert len(content) < 100_000
    with pytest.raises(TooLargeError, match="HDF5 data set dataset1/data1/more unpacks to more than the limit"):
        read_frames(content)


def test_hdf5_of_neither_kind_names_both() -> None:
    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        root["matrix"] = np.eye(3)
    with pytest.raises(FrameError, match="expected a variable with one of the standard names"):
        read_frames(file.getvalue())
