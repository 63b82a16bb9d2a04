"""Z-R relations by hand and both ways; depth to rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.units import (
    DWD_ZR,
    FMI_ZR,
    HKO_ZR,
    MARSHALL_PALMER_ZR,
    METEOSWISS_ZR,
    ZRRelation,
    pixel_from_dbz,
    rate_from_depth,
)

RELATIONS = [DWD_ZR, MARSHALL_PALMER_ZR, FMI_ZR, METEOSWISS_ZR, HKO_ZR]


@pytest.mark.parametrize(
    ("relation", "dbz"), [(DWD_ZR, 45.06), (MARSHALL_PALMER_ZR, 46.64)]
)  # 10 log10(256 * 30^1.42) and 10 log10(200 * 30^1.6)
def test_thirty_millimetres_an_hour(relation: ZRRelation, dbz: float) -> None:
    assert float(relation.reflectivity_dbz(np.array(30.0))) == pytest.approx(dbz, abs=0.005)
    assert float(relation.rate_mmh(np.array(dbz))) == pytest.approx(30.0, rel=1e-3)


@given(relation=st.sampled_from(RELATIONS), rate_mmh=st.floats(0.02, 500))
def test_there_and_back(relation: ZRRelation, rate_mmh: float) -> None:
    dbz = relation.reflectivity_dbz(np.array(rate_mmh))
    assert float(relation.rate_mmh(dbz)) == pytest.approx(rate_mmh, rel=1e-9)


@given(relation=st.sampled_from(RELATIONS), low=st.floats(-32, 60), step=st.floats(0.01, 20))
def test_more_reflectivity_is_more_rain(relation: ZRRelation, low: float, step: float) -> None:
    weaker, stronger = relation.rate_mmh(np.array([low, low + step]))
    assert 0 < weaker < stronger


@pytest.mark.parametrize("relation", RELATIONS)
def test_dry_is_zero_and_no_data_stays(relation: ZRRelation) -> None:
    np.testing.assert_array_equal(relation.rate_mmh(np.array([-32.5, -40.0, -np.inf, np.nan])), [0, 0, 0, np.nan])
    np.testing.assert_array_equal(relation.reflectivity_dbz(np.array([0.0, np.nan])), [-np.inf, np.nan])
    assert relation.source


@pytest.mark.parametrize(("minutes", "rate_mmh"), [(5, 12.0), (10, 6.0), (60, 1.0), (1440, 1 / 24)])
def test_rate_of_one_millimetre(minutes: float, rate_mmh: float) -> None:
    np.testing.assert_allclose(rate_from_depth(np.array([1.0, 0.0, np.nan]), minutes), [rate_mmh, 0.0, np.nan])


@pytest.mark.parametrize("minutes", [0, -5])
def test_interval_must_be_positive(minutes: float) -> None:
    with pytest.raises(ValueError, match="interval_minutes: expected a positive number"):
        rate_from_depth(np.array([1.0]), minutes)


def test_pixel_values_span_70_dbz_and_are_clipped() -> None:
    dbz = np.array([-np.inf, -20.0, -10.0, 25.0, 60.0, 70.0, np.nan])
    np.testing.assert_array_equal(pixel_from_dbz(dbz), [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, np.nan])
    assert pixel_from_dbz(np.array([25.0], np.float32)).dtype == np.float32
