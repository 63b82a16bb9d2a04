"""Property: every RADOLAN product, header variant and wrapper is read back as it was written."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.grid import dwd_grid
from core.units import DWD_ZR
from ingest.radar_sites import DWD_RADARS
from ingest.readers import read_frames
from tests.ingest.readers.radolan_files import (
    CLUTTER,
    COUNTS,
    DEPTHS,
    NEGATIVE,
    NO_DATA,
    SECONDARY,
    SIZES,
    Header,
    radolan_file,
    wrapped,
)

FIRST = datetime(2020, 1, 1)  # noqa: DTZ001 - the header's digits; the network of 17 sites since then
INTERVALS = {"RW": 60, "SF": 1440, "RQ": 60}
WRAPPERS = ("", "gz", "bz2", "tar", "tar.gz", "tar.bz2")


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """Headers as DWD writes them since 2020, and variants of theirs."""
    product = draw(st.sampled_from(DEPTHS + COUNTS))
    days = draw(st.booleans()) if product == "SF" else False
    absent = draw(st.sets(st.sampled_from(sorted(DWD_RADARS)), max_size=4))
    spelling = draw(st.sampled_from(["{}", "de{}", " {}"]))
    return Header(
        product,
        FIRST + timedelta(minutes=draw(st.integers(0, 15 * 525_600))),
        draw(st.sampled_from(SIZES)),
        draw(st.sampled_from([0, 1, 2, 3, 4, 5])),
        draw(st.sampled_from(["2.29.1", "1.6.0", "P200101f", "22.05.1"])),
        0 if product in COUNTS else draw(st.integers(0, 3)),
        1 if days else INTERVALS.get(product, 5),
        "U1" if days else draw(st.sampled_from(["", "U0"])),
        draw(st.sampled_from([0, 5, 60, 120])) if product in ("RV", "RQ") else None,
        "2017.002" if product in ("RW", "SF", "YW") and draw(st.booleans()) else "",
        tuple(spelling.format(site) for site in DWD_RADARS if site not in absent),
    )


@given(header=headers(), seed=st.integers(0, 2**32 - 1), how=st.sampled_from(WRAPPERS))
@settings(max_examples=12, deadline=None)
def test_field_mask_time_and_radars_are_read_back(header: Header, seed: int, how: str) -> None:
    random = np.random.default_rng(seed)
    is_count = header.product in COUNTS
    values_HW = random.integers(0, 251 if is_count else 4096, header.size).astype("u1" if is_count else "<u2")
    flags_HW = random.choice([0, 0, 0, SECONDARY, NO_DATA, NEGATIVE, CLUTTER], header.size)
    raw_HW = values_HW if is_count else (values_HW | flags_HW).astype("<u2")
    (frame,) = read_frames(wrapped(radolan_file(header, raw_HW), how), name=f"file.{how}")

    if is_count:
        rate_mmh_HW = np.where(values_HW >= 249, np.nan, DWD_ZR.rate_mmh(values_HW / 2 - 32.5))
        clutter_HW = values_HW == 249
        interval_minutes = 0
    else:
        interval_minutes = header.interval_minutes * (1440 if header.unit == "U1" else 1)
        depth_mm_HW = values_HW * 10.0**-header.digits
        lost_HW = (flags_HW & (NO_DATA | NEGATIVE | CLUTTER)) > 0
        rate_mmh_HW = np.where(lost_HW, np.nan, depth_mm_HW * 60 / interval_minutes)
        clutter_HW = flags_HW == CLUTTER
    np.testing.assert_allclose(frame.rate_mmh_HW, rate_mmh_HW[::-1], rtol=1e-6)
    found_HW = np.zeros(header.size, bool) if frame.clutter_HW is None else frame.clutter_HW
    np.testing.assert_array_equal(found_HW, clutter_HW[::-1])
    lead_minutes = header.lead_minutes or 0
    assert frame.valid_time == header.time.replace(tzinfo=UTC) + timedelta(minutes=lead_minutes)
    assert (frame.product, frame.interval_minutes) == (header.product, interval_minutes)
    assert (frame.lead_minutes, frame.is_forecast) == (lead_minutes, lead_minutes > 0)
    assert frame.grid is dwd_grid(*header.size, wgs84=header.version >= 5)
    listed = {site.strip()[-3:] for site in header.radars}
    absent = () if header.product == "EX" else tuple(site for site in DWD_RADARS if site not in listed)
    assert sorted(frame.missing_radars) == sorted(absent)


@pytest.mark.parametrize("how", ["", "gz", "tar.bz2"])
@pytest.mark.parametrize(("nodata", "unit_mm"), [("-1", 0.1), ("-9999", 1.0)])
def test_ascii_hours_are_read_back(how: str, nodata: str, unit_mm: float) -> None:
    random = np.random.default_rng(7)
    units_HW = random.integers(0, 300, (900, 900))
    lost_HW = random.random((900, 900)) < 0.2
    header = f"ncols 900\nnrows 900\nxllcorner -523462\nyllcorner -4658645\ncellsize 1000\nNODATA_value {nodata}\n"
    rows = np.where(lost_HW, int(nodata), units_HW)
    body = "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist())
    name = "RW_20240229-2350.asc"
    (frame,) = read_frames(wrapped((header + body).encode(), how, member=name), name=name)
    assert frame.valid_time == datetime(2024, 2, 29, 23, 50, tzinfo=UTC)
    np.testing.assert_allclose(frame.rate_mmh_HW, np.where(lost_HW, np.nan, units_HW * unit_mm), rtol=1e-6)
