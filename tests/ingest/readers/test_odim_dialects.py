"""A random field in every dialect of ODIM_H5 is read back: value, place, time, mask, and observation."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.readers import read_frames
from tests.ingest.readers.odim_files import DIALECTS, Dialect, lon_lat_of, odim_file

START = datetime(2024, 6, 1, tzinfo=UTC)


def quantum(dialect: Dialect, rate_mmh_HW: np.ndarray) -> np.ndarray:
    """Largest difference of a stored and a true rate."""
    if dialect.dtype.startswith("f"):
        return 1e-5 * (1 + rate_mmh_HW)
    if dialect.quantity in ("DBZH", "TH"):
        per_step = 10 ** ((dialect.gain or 1.0) / 10 / dialect.relation.b) - 1
        return rate_mmh_HW * per_step + 0.02
    return np.full_like(
        rate_mmh_HW, (dialect.gain or 1.0) * (60 / dialect.minutes if dialect.quantity == "ACRR" else 1)
    )


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 40), cols=st.integers(2, 40), minute=st.integers(0, 500_000))
@settings(max_examples=6, deadline=None)
def test_a_random_field_is_read_back(dialect: Dialect, seed: int, rows: int, cols: int, minute: int) -> None:
    rng = np.random.default_rng(seed)
    rate_mmh_HW = np.round(rng.gamma(0.5, 4.0, (rows, cols)) * (rng.random((rows, cols)) < 0.5), 2)
    rate_mmh_HW[rng.random((rows, cols)) < 0.2] = np.nan
    end = START + timedelta(minutes=minute)
    (frame,) = read_frames(odim_file(dialect, rate_mmh_HW, end), name=dialect.name)
    assert (frame.valid_time, frame.lead_minutes) == (end, 0)
    assert frame.interval_minutes == (0 if dialect.quantity in ("DBZH", "TH") else dialect.minutes)
    np.testing.assert_array_equal(np.isnan(frame.rate_mmh_HW), np.isnan(rate_mmh_HW))
    off = np.abs(frame.rate_mmh_HW - rate_mmh_HW)
    assert (np.isnan(off) | (off <= quantum(dialect, rate_mmh_HW) * 1.01 + 1e-6)).all()
    corners = lon_lat_of(dialect, rows, cols, 0.0)
    expected = [corners[name] for name in ("UL", "UR", "LR", "LL")]
    np.testing.assert_allclose(frame.grid.corners_lon_lat(), expected, atol=1e-6)
