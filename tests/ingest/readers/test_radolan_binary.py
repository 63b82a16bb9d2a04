"""RADOLAN binary, on composites that are written here: flags, header tokens, and headers that contradict themselves."""

import gzip
import io
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import wradlib
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.arrays import FloatField
from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import dwd_grid
from core.times import utc
from core.units import DRY_DBZ, DWD_ZR
from ingest.readers import read_frames
from ingest.writers.radolan import INVENTED, ry_bytes
from tests.ingest.readers.radolan_files import COUNTS, DEPTHS, NEGATIVE

RADARS = "<asb,boo,drs,eis,ess,fbg,fld,hnr,isn,mem,neu,nhb,oft,pro,ros,tur,umd>"


def composite(
    raw: NDArray[np.unsignedinteger] | None = None,
    *,
    product: str = "RY",
    precision: str = "E-02",
    interval: str = "   5",
    more: str = "",
    radars: str = RADARS,
    station: str = "10000",
    time: str = "011530",
    date: str = "0624",
    size: str = " 900x 900",
    version: int = 3,
    extra_bytes: int = 0,
) -> bytes:
    """A composite with `raw` (row 0 in the south) as its values."""
    values = np.zeros((900, 900), "<u2") if raw is None else raw
    rest = f"VS{version:2}SW   2.29.1PR {precision}INT{interval}GP{size}{more}MS{len(radars):3}{radars}"
    length = len(product) + 6 + 5 + 4 + 2 + 7 + len(rest) + 1 + values.nbytes + extra_bytes
    return f"{product}{time}{station}{date}BY{length:7}{rest}\x03".encode() + values.tobytes()


def read(content: bytes) -> RadarFrame:
    (frame,) = read_frames(content)
    return frame


def test_invented_files_are_credited_to_nobody() -> None:
    dry_HW = np.zeros((900, 900), np.float32)
    assert read(ry_bytes(dry_HW, utc("2024-06-01T15:30Z"))).provider == "Deutscher Wetterdienst (CC BY 4.0)"
    assert read(ry_bytes(dry_HW, utc("2024-06-01T15:30Z"), software=INVENTED)).provider is None


def test_plain_header() -> None:
    frame = read(composite())
    assert frame.valid_time == utc("2024-06-01T15:30Z")
    assert (frame.product, frame.interval_minutes, frame.lead_minutes) == ("RY", 5.0, 0)
    assert frame.missing_radars == ()
    assert (frame.rate_mmh_HW == 0).all()


def test_flags_of_16_bit_values() -> None:
    raw = np.zeros((900, 900), "<u2")
    raw[0, :7] = [100, 0x1000 | 100, 0x2000 | 2500, 0x8000 | 100, 0x8000 | 0x2000 | 2500, 0x4000 | 100, 0xFFF]
    south_row = read(composite(raw)).rate_mmh_HW[-1]
    np.testing.assert_allclose(south_row[:7], [12.0, 12.0, np.nan, np.nan, np.nan, np.nan, 491.4], rtol=1e-6)
    assert (south_row[7:] == 0).all()


def test_counts_of_8_bit_products_go_through_the_zr_relation() -> None:
    raw = np.zeros((900, 900), "u1")
    raw[0, :7] = [0, 1, 110, 248, 249, 250, 255]
    frame = read(composite(raw, product="RX", precision="E+00"))
    expected = [0.0, *DWD_ZR.rate_mmh(np.array([-32.0, 22.5, 91.5])), np.nan, np.nan, np.nan]
    np.testing.assert_allclose(frame.rate_mmh_HW[-1, :7], expected, rtol=1e-6)
    assert frame.rate_mmh_HW[-1, 2] == pytest.approx((10**2.25 / 256) ** (1 / 1.42), rel=1e-6)
    assert frame.interval_minutes == 0


@given(units=st.integers(0, 4095), minutes=st.sampled_from([5, 10, 60, 1440]), digits=st.sampled_from([0, 1, 2, 3]))
@settings(max_examples=25, deadline=None)
def test_rate_is_depth_over_the_interval_of_the_header(units: int, minutes: int, digits: int) -> None:
    raw = np.full((900, 900), units, "<u2")
    frame = read(composite(raw, interval=f"{minutes:4}", precision=f"E-0{digits}"))
    assert frame.rate_mmh_HW[0, 0] == pytest.approx(units * 10**-digits * 60 / minutes, rel=1e-6)
    assert frame.interval_minutes == minutes


def test_interval_may_count_days() -> None:
    assert read(composite(interval="   2", more="", precision="E-01")).interval_minutes == 2
    assert read(composite(interval="   2U1", precision="E-01")).interval_minutes == 2 * 1440


@pytest.mark.parametrize("product", ["RV", "RQ"])
def test_lead_moves_the_valid_time(product: str) -> None:
    frame = read(composite(product=product, more="VV 120MF 00000008", version=5))
    assert (frame.lead_minutes, frame.is_forecast) == (120, True)
    assert frame.reference_time == utc("2024-06-01T15:30Z")
    assert frame.valid_time == frame.reference_time + timedelta(hours=2)


def test_format_version_chooses_the_figure_of_the_earth() -> None:
    assert read(composite(version=3)).grid is dwd_grid(900, 900, wgs84=False)
    assert read(composite(version=5)).grid is dwd_grid(900, 900, wgs84=True)


@pytest.mark.parametrize(
    ("radars", "date", "missing"),
    [
        (RADARS.replace("umd,", "").replace("umd", "").replace(",>", ">").replace("boo,", ""), "0624", ("boo", "umd")),
        (RADARS.replace("asb", "deasb").replace("boo,", ""), "0624", ("boo",)),
        (RADARS.replace("asb", "emd"), "0817", ()),
        (RADARS.replace("asb", "emd"), "0624", ("asb",)),
        ("", "0624", ()),
    ],
)
def test_missing_radars(radars: str, date: str, missing: tuple[str, ...]) -> None:
    assert read(composite(radars=radars, date=date)).missing_radars == missing


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (composite(product="RE", precision="E-03"), "expected one of RY, .* got RE, which is the solid fraction"),
        (composite(product="PG"), "got PG, which is seven levels"),
        (composite(product="WN"), "product: expected one of RY, RZ, YW, RV, RW, SF, RQ, RX, EX, WX, got WN"),
        (composite(station="10132"), r"expected a composite \(10000\), got station 10132"),
        (composite(size=" 800x 900"), "expected 800 x 900 cells of 16 bits, got 1,620,000 bytes of data"),
        (composite(np.zeros((460, 460), "<u2"), size=" 460x 460"), "expected one of 900 x 900.*got 460 x 460"),
        (composite(product="RX"), "expected 900 x 900 cells of 8 bits, got 1,620,000 bytes of data"),
        (composite(extra_bytes=2), r"its header states [\d,]+ \(BY\): cut"),
        (composite(extra_bytes=-2), r"its header states [\d,]+ \(BY\): longer"),
        (composite(precision="E-07"), "precision: expected one of .*, got 1e-07"),
        (composite(interval="   0"), "interval: expected more than 0 s and .*, got 0 s"),
        (composite(more="VV -60"), "lead time: expected 0 minutes or more, got -60"),
        (composite(time="321530"), "does not parse"),
        (composite(date="1324"), "does not parse"),
        (composite(precision="E-xx"), "does not parse"),
        (composite().replace(b"PR E-02", b""), "RADOLAN header without PR"),
        (b"RY011530100000624BY1620142" + bytes(5000), "no end mark in its first 2048 bytes"),
    ],
)
def test_unusable_headers_name_what_was_expected_and_found(content: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        read(content)


@given(length=st.integers(0, 1_620_140))
@settings(max_examples=40, deadline=None)
def test_cut_at_any_length(length: int) -> None:
    content = composite()
    assert length < len(content)
    with pytest.raises(FrameError):
        read(content[:length])


def test_a_mislabelled_file_is_read_for_what_it_is() -> None:
    (frame,) = read_frames(composite(product="RZ"), name="raa01-ry_10000-2001010000-dwd---bin.hdf5")
    assert frame.product == "RZ"
    assert re.match("2024", frame.valid_time.isoformat())


def as_wradlib(content: bytes, rate_of: Callable[[FloatField], FloatField]) -> NDArray[np.float32]:
    """The rates from wradlib's values and masks, row 0 in the north."""
    values_HW, attrs = wradlib.io.read_radolan_composite(io.BytesIO(content), missing=-1)
    lost_N = [attrs[mask].ravel() for mask in ("nodatamask", "cluttermask") if mask in attrs]
    rate_mmh_HW = rate_of(np.asarray(values_HW, np.float64)).astype(np.float32)
    rate_mmh_HW.flat[np.concatenate(lost_N)] = np.nan
    return rate_mmh_HW[::-1]


@pytest.mark.parametrize("product", DEPTHS)
@pytest.mark.parametrize(("digits", "minutes"), [(2, 5), (1, 60), (3, 5)])
def test_any_integers_of_depths_are_decoded_as_by_wradlib(product: str, digits: int, minutes: int) -> None:
    raw = np.random.default_rng(digits).integers(0, 2**16, (900, 900)).astype("<u2")
    raw &= 0xFFFF - NEGATIVE  # wradlib reads this flag of one product that is not read here
    content = composite(raw, product=product, precision=f"E-{digits:02}", interval=f"{minutes:4}")
    expected = as_wradlib(content, lambda depth_mm: depth_mm * 60 / minutes)
    np.testing.assert_allclose(read(content).rate_mmh_HW, expected, rtol=3e-7)


@pytest.mark.parametrize("product", COUNTS)
def test_any_counts_of_reflectivity_are_decoded_as_by_wradlib(product: str) -> None:
    size = (1500, 1400) if product == "EX" else (900, 900)
    raw = np.random.default_rng(0).integers(0, 251, size).astype(np.uint8)
    content = composite(raw, product=product, precision="E-00", size=f"{size[0]:4}x{size[1]:4}")
    expected = as_wradlib(content, lambda counts: DWD_ZR.rate_mmh(counts / 2 + DRY_DBZ))
    np.testing.assert_allclose(read(content).rate_mmh_HW, expected, rtol=3e-7)


def test_the_golden_file_is_decoded_as_by_wradlib() -> None:
    content = gzip.decompress((Path(__file__).parents[2] / "golden" / "radolan-binary.gz").read_bytes())
    expected = as_wradlib(content, lambda depth_mm: depth_mm * 12)
    np.testing.assert_allclose(read(content).rate_mmh_HW, expected, rtol=3e-7)
