"""Quantiles of a rain rate: by hand, monotone, and in agreement with the probabilities that they come from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.distribution import TAIL_EXPONENT, TOP_FACTOR, quantile_mmh
from core.errors import InputError

THRESHOLDS = (0.1, 1.0, 10.0)
falling = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(lambda some: np.array(sorted(some, reverse=True)))
inner = st.floats(0.01, 0.99)


@pytest.mark.parametrize(
    ("probability_K", "q", "expected"),
    [
        ((0.4, 0.2, 0.0), 0.5, 0.0),  # dry with 60 %
        ((0.5, 0.2, 0.0), 0.5, 0.0),  # exactly 1 - q is not more
        ((0.8, 0.2, 0.0), 0.5, 10**-0.5),  # half of the way from 0.8 to 0.2
        ((1.0, 0.5, 0.0), 0.5, 1.0),  # a threshold reached with 1 - q is the quantile
        ((1.0, 1.0, 0.5), 0.75, 10 * 3 ** (1 / TAIL_EXPONENT)),  # odds of 1 fall to a third
        ((1.0, 1.0, 0.8), 0.2, 10.0),  # the highest threshold itself
        ((1.0, 1.0, 0.8), 0.5, 10 * 4 ** (1 / TAIL_EXPONENT)),  # nearly certain: the median is above it
        ((1.0, 1.0, 1.0), 0.9, 10 * TOP_FACTOR),
        ((0.5, 0.1, 0.1), 0.9, 1.0),  # packed probabilities equal 1 - q in spite of rounding
    ],
)
def test_quantiles_by_hand(probability_K: tuple[float, ...], q: float, expected: float) -> None:
    for kind in (np.float32, np.float64):
        assert float(quantile_mmh(np.array(probability_K, kind), THRESHOLDS, q)) == pytest.approx(expected, rel=1e-5)


@given(probability_K=falling, first=inner, second=inner)
def test_a_quantile_never_falls_with_q(probability_K: np.ndarray, first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert quantile_mmh(probability_K, THRESHOLDS, low) <= quantile_mmh(probability_K, THRESHOLDS, high)


@given(probability_K=falling, more=falling, q=inner)
def test_a_quantile_never_falls_with_the_probabilities(probability_K: np.ndarray, more: np.ndarray, q: float) -> None:
    higher_K = np.maximum(probability_K, more)
    found, higher = (quantile_mmh(one_K, THRESHOLDS, q) for one_K in (probability_K, higher_K))
    assert found <= higher * (1 + 1e-4)


@given(probability_K=falling, q=inner)
def test_a_quantile_reaches_a_threshold_where_its_probability_is_more_than_the_rest(
    probability_K: np.ndarray, q: float
) -> None:
    rate_mmh = float(quantile_mmh(probability_K, THRESHOLDS, q))
    for probability, threshold_mmh in zip(probability_K, THRESHOLDS, strict=True):
        if probability > 1 - q + 1e-5:
            assert rate_mmh >= threshold_mmh * (1 - 1e-9)
        if probability < 1 - q - 1e-5:
            assert rate_mmh <= threshold_mmh
    assert rate_mmh <= TOP_FACTOR * THRESHOLDS[-1]


def test_fields_keep_their_shape_and_their_missing_cells() -> None:
    probability_KHW = np.array([0.9, 0.3, 0.1], np.float32)[:, None, None].repeat(2, axis=1).repeat(3, axis=2)
    probability_KHW[1, 0, 1] = np.nan
    found_HW = quantile_mmh(probability_KHW, THRESHOLDS, 0.5)
    assert found_HW.shape == (2, 3)
    assert np.isnan(found_HW[0, 1])
    assert np.isnan(found_HW).sum() == 1
    np.testing.assert_allclose(found_HW[1], 0.1 * 10 ** (0.4 / 0.6), rtol=1e-5)


def test_a_rise_with_the_threshold_is_levelled() -> None:
    uneven, level = ((0.5, 0.2, 0.3), (0.5, 0.2, 0.2))
    assert quantile_mmh(np.array(uneven), THRESHOLDS, 0.75) == quantile_mmh(np.array(level), THRESHOLDS, 0.75)


@pytest.mark.parametrize(
    ("probability_K", "thresholds_mmh", "q", "named"),
    [
        ((0.5, 0.4), (1.0, 1.0), 0.5, "thresholds_mmh"),
        ((0.5,), (0.0,), 0.5, "thresholds_mmh"),
        ((), (), 0.5, "thresholds_mmh"),
        ((0.5,), (1.0, 2.0), 0.5, "probability_K"),
        ((0.5, 0.4), (1.0, 2.0), 1.0, "q:"),
    ],
)
def test_what_makes_no_distribution_is_refused(
    probability_K: tuple[float, ...], thresholds_mmh: tuple[float, ...], q: float, named: str
) -> None:
    with pytest.raises(InputError, match=named):
        quantile_mmh(np.array(probability_K), thresholds_mmh, q)
