"""Neighbours of the dialects: what a composite of ODIM_H5 may also state, and what is refused by name."""

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np
import pytest

from core.errors import FrameError
from core.frame import RadarFrame
from core.units import DWD_ZR, FMI_ZR, MARSHALL_PALMER_ZR, METEOSWISS_ZR, ZRRelation
from ingest.readers import READERS, read_frames
from ingest.readers.base import Member, ReadLimits
from ingest.readers.odim_attributes import names_of
from tests.ingest.readers.odim_files import STEREO, Dialect, accumulation_of_a_day, odim_file, quality_dataset

END = datetime(2024, 6, 1, 12, tzinfo=UTC)
RATE_HW = np.array([[0.0, 3.5, 12.0], [np.nan, 0.5, 0.0]])
DBZH = Dialect("DBZH", "DBZH", "u1", 0.5, -32.0, 255.0, 0.0)


def read(dialect: Dialect) -> tuple[list[RadarFrame], list[str]]:
    """Return the frames and the notes."""
    limits = ReadLimits()
    frames = READERS.get("odim-h5").read(Member(odim_file(dialect, RATE_HW, END), "x", limits))
    return frames, limits.notes


def stated(path: str, name: str, value: Any) -> Callable[[Any], None]:
    """Set one attribute."""

    def change(root: Any) -> None:
        root.require_group(path).attrs[name] = np.bytes_(value) if isinstance(value, str) else value

    return change


@pytest.mark.parametrize(
    ("source", "relation"),
    [
        ("ORG:78,CTY:616,CMT:x", DWD_ZR),
        ("WMO:10000,NOD:deboo", DWD_ZR),
        ("NOD:de", DWD_ZR),
        ("ORG:247", MARSHALL_PALMER_ZR),
        ("CMT:Odyssey composite", MARSHALL_PALMER_ZR),
        ("NOD:eu", MARSHALL_PALMER_ZR),
        ("WMO:02606,RAD:SE50,PLC:x", MARSHALL_PALMER_ZR),
        ("WMO:02975,RAD:FI42", FMI_ZR),
        ("ORG:86", FMI_ZR),
        ("ORG:215,CTY:644", METEOSWISS_ZR),
        ("WMO:06477,NOD:bejab", MARSHALL_PALMER_ZR),
    ],
)
def test_reflectivity_is_converted_by_the_relation_of_its_source(source: str, relation: ZRRelation) -> None:
    (frame,), notes = read(replace(DBZH, source=source, relation=relation))
    assert frame.rate_mmh_HW[0, 2] == pytest.approx(12.0, rel=0.05)
    assert frame.rate_mmh_HW[0, 0] == 0
    assert notes == []


def test_the_relation_of_an_unknown_source_is_noted() -> None:
    (frame,), notes = read(replace(DBZH, source="CMT:somewhere"))
    assert frame.rate_mmh_HW[0, 2] == pytest.approx(12.0, rel=0.05)
    assert len(notes) == 1
    assert "Z = 200 R^1.6" in notes[0]
    assert "CMT:somewhere" in notes[0]


def test_the_accumulation_that_is_left_out_is_noted() -> None:
    (frame,), notes = read(Dialect(quantity="ACRR", change=accumulation_of_a_day))
    assert frame.interval_minutes == 5
    assert notes == [
        "/dataset2/data1: ACRR of 1440 minutes is left out: /dataset1/data1: ACRR of 5 minutes has the same end, "
        "2024-06-01 12:00, and is taken"
    ]


def test_a_quality_data_set_needs_no_note() -> None:
    frames, notes = read(Dialect(change=quality_dataset))
    assert len(frames) == 1
    assert notes == []


def test_a_time_with_two_equal_fields_is_left_out_and_the_others_are_taken() -> None:
    def second_and_third(root: Any) -> None:
        for number in (2, 3):
            root.copy("dataset1", f"dataset{number}")
            root[f"dataset{number}/what"].attrs["endtime"] = np.bytes_("115900")

    (frame,), notes = read(Dialect(change=second_and_third))
    assert frame.valid_time == END
    assert len(notes) == 1
    assert notes[0].startswith("the field of 2024-06-01 11:59 is left out: expected one field of RATE")


def test_a_bad_data_set_is_left_out_and_named() -> None:
    def second_is_cut(root: Any) -> None:
        root.copy("dataset1", "dataset2")
        root["dataset2/what"].attrs["endtime"] = np.bytes_("120500")
        del root["dataset2/data1/data"]

    (frame,), notes = read(Dialect(change=second_is_cut))
    assert frame.valid_time == END
    assert len(notes) == 1
    assert notes[0].startswith(
        "/dataset2/data1: RATE of 10 minutes is left out: /dataset2/data1/data: expected numbers"
    )


def same_field_twice(root: Any) -> None:
    """Add dataset2 that differs from dataset1 in nothing but its name."""
    root.copy("dataset1", "dataset2")


def only(quantity: str) -> Callable[[Any], None]:
    """Make the file hold another quantity alone."""
    return stated("dataset1/data1/what", "quantity", quantity)


def without(path: str, name: str) -> Callable[[Any], None]:
    """Delete one attribute."""
    return lambda root: root[path].attrs.__delitem__(name)


@pytest.mark.parametrize(
    ("dialect", "message"),
    [
        (Dialect(change=same_field_twice), "expected one field of RATE at 2024-06-01 12:00:00.*dataset1.*dataset2"),
        (Dialect(change=only("VRAD")), "expected RATE, ACRR, DBZH, TH, got VRAD"),
        (Dialect(change=only("HGHT")), "expected RATE, ACRR, DBZH, TH, got HGHT"),
        (Dialect(kind="PVOL"), "expected one of COMP, IMAGE, got PVOL"),
        (Dialect(kind="CVOL"), "expected one of COMP, IMAGE, got CVOL"),
        (Dialect(gain=None), "ODIM file without /dataset1/data1/what/gain; expected it for uint16 counts"),
        (Dialect(offset=None), "ODIM file without /dataset1/data1/what/offset; expected it for uint16 counts"),
        (
            Dialect(change=without("dataset1/data1/what", "nodata")),
            "without .*/nodata; expected it, as counts of 65535",
        ),
        (Dialect(change=stated("dataset1/data1/what", "unit", "K")), "unit of RATE"),
        (Dialect(change=stated("dataset1/data1/what", "units", "mm")), "unit of RATE"),
        (
            replace(DBZH, change=stated("dataset1/data1/what", "unit", "mm h-1")),
            "unit of DBZH: expected dBZ, got 'mm h-1'",
        ),
        (replace(DBZH, change=stated("how", "zr_a", 200.0)), "expected two numbers above 0, got 200.0 and None"),
        (Dialect(corners=("UL", "UR")), "expected the corners UL, UR, LR, LL or two opposite ones, got UL, UR"),
        (Dialect(scale=3.0), "corner UR is .* expected less than 0.4 cells"),
        (Dialect(projdef=STEREO.replace("units=m", "units=us-ft")), "expected coordinates in m or km"),
        (Dialect(nominal=0.0, minutes=60, quantity="ACRR"), "observation or forecast is not decided"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(dialect: Dialect, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        read(dialect)


def test_a_stated_unit_is_converted() -> None:
    (frame,), _ = read(Dialect(change=stated("dataset1/data1/what", "units", "cm/h")))
    assert frame.rate_mmh_HW[0, 2] == pytest.approx(120.0)


@pytest.mark.parametrize(
    "nodes",
    [
        "'deasb','deboo'",
        "asb,boo",
        "asb boo",
        "['asb', 'boo']",
        np.array([b"deasb", b"deboo"]),
        np.array([b"asb,boo"]),
        np.array(["asb", "boo"], dtype=h5py.string_dtype()),
        np.bytes_(b"asb,boo\0\0"),
    ],
)
def test_radars_are_listed_in_every_shape(nodes: Any) -> None:
    dialect = Dialect(source="ORG:78", change=stated("how", "nodes", nodes))
    (frame,), _ = read(dialect)
    assert len(frame.missing_radars) == 15
    assert not {"asb", "boo"} & set(frame.missing_radars)


def test_radars_by_number_are_not_compared_with_names() -> None:
    (frame,), _ = read(Dialect(source="ORG:78", change=stated("how", "nodes", "10103,10132")))
    assert frame.missing_radars == ()
    assert names_of(None) == []


def test_polar_scans_of_knmi_are_refused_by_name() -> None:
    with h5py.File(content := io.BytesIO(), "w") as root:
        root.create_group("overview").attrs["product_group_name"] = np.bytes_("RAD62_POL_NA")
        root.create_group("scan1")
    with pytest.raises(FrameError, match="KNMI HDF5 file: expected a composite with image1 and geographic"):
        read_frames(content.getvalue())


@pytest.mark.parametrize("mark", ["True", np.bool_(True), np.int32(1), "1"])
def test_a_simulated_field_is_a_forecast_however_the_mark_is_written(mark: Any) -> None:
    (frame,), _ = read(Dialect(nominal=0.0, change=stated("how", "simulated", mark)))
    assert frame.lead_minutes == 5


@pytest.mark.parametrize("clock", [np.int32(1000), np.float64(500)])
def test_a_number_that_may_be_hhmm_or_hhmmss_is_refused(clock: Any) -> None:
    with pytest.raises(FrameError, match=r"what/endtime: expected a text, got .*, which may be HHMM or HHMMSS"):
        read(Dialect(change=stated("dataset1/what", "endtime", clock)))


def test_a_number_that_is_only_hhmmss_is_a_time() -> None:
    (frame,), _ = read(Dialect(change=stated("dataset1/what", "endtime", np.int32(120000))))
    assert frame.valid_time == END
