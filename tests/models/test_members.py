"""Ensemble members: the calibrated distribution at each cell, the observed texture, amounts of the next hours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.distribution import quantile_mmh
from models.guided.coupling import coupled_mmh, rate_at, stratified
from models.guided.member_amounts import AmountSums, member_quantiles
from models.guided.members import EnsembleMembers, members_factor, smoothed
from models.guided.texture import GaussianWaves, Texture, band_edges_km, band_products, observed_texture
from models.guided.texture_match import TextureMatch
from models.guided.trajectories import Trajectories, traced_LCHW

RATES = (0.1, 0.5, 2.0, 10.0)


def _probabilities(seed, cells=200):
    return np.sort(np.random.default_rng(seed).random((len(RATES), cells)), axis=0)[::-1].astype(np.float32)


def _rain(rows=120, cols=130, seed=0, drift=0):
    """Textured rain: the exponential of a Gaussian field, dry below a level."""
    lengths = np.geomspace(2.0, 60.0, 12)
    texture = Texture(lengths, lengths**3, lengths)
    waves = GaussianWaves(texture, (rows, cols + 16), 1.0, 1, seed)
    waves.advance(1e6)
    (whole,) = waves.fields_HW()
    field = whole[:rows, drift : cols + drift]
    return np.where(field > 0.5, 0.3 * np.exp(1.5 * field), 0).astype(np.float32)


def _members(rate_THW, count=4, seed=0, **more):
    options = {"cadence_minutes": 5, "pixel_m": 1000.0, **more}
    return EnsembleMembers(rate_THW, 30, members=count, seed=seed, **options)


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_share_of_members_is_the_probability(seed, members):
    random = np.random.default_rng(seed)
    probability = _probabilities(seed).reshape(len(RATES), 10, 20)
    noise = random.standard_normal((members, 10, 20), np.float32)
    rates = coupled_mmh(noise, probability, RATES)
    for number, mmh in enumerate(RATES):
        share = (rates >= np.float32(mmh)).mean(axis=0)
        assert np.abs(share - probability[number]).max() <= 1 / members + 1e-5


def test_a_stratum_is_filled_evenly():
    """A probability of a fifth of a member is reached by one member in a fifth of the cells."""
    noise = np.random.default_rng(0).standard_normal((10, 100, 100), np.float32)
    rates = coupled_mmh(noise, np.full((1, 100, 100), 0.02, np.float32), (1.0,))
    assert (rates >= 1).mean() == pytest.approx(0.02, rel=0.05)
    assert (rates >= 1).sum(axis=0).max() == 1


@given(st.integers(0, 10_000), st.floats(0.01, 0.99))
def test_the_distribution_is_that_of_the_quantiles(seed, quantile):
    probability = _probabilities(seed)
    probability = probability[
        :, (np.abs(probability - (1 - quantile)) > 1e-5).all(axis=0)
    ]  # else either may be rounded
    found = rate_at(np.full((1, probability.shape[1]), 1 - quantile, np.float32), probability, RATES)[0]
    np.testing.assert_allclose(found, quantile_mmh(probability, RATES, quantile), rtol=2e-3)


def test_every_stratum_has_one_member_uniform_in_it():
    uniform = np.random.default_rng(0).random((7, 20_000), np.float32)
    found = stratified(uniform)
    np.testing.assert_array_equal(np.argsort(found, axis=0), np.argsort(uniform, axis=0))
    np.testing.assert_array_equal(np.sort((found * 7).astype(int), axis=0), np.tile(np.arange(7)[:, None], 20_000))
    within = np.sort(found, axis=0) * 7 % 1
    np.testing.assert_allclose(
        [np.mean(within < share, axis=1) for share in (0.1, 0.5, 0.9)], [[0.1], [0.5], [0.9]] * np.ones(7), atol=0.015
    )


def test_fields_that_cross_stay_continuous():
    x = np.linspace(0.05, 1, 20_001, dtype=np.float32)
    fields = 0.5 + 0.4 * np.sin(x * np.array([[3], [5], [8], [11]], np.float32))
    assert np.abs(np.diff(stratified(fields.astype(np.float32)), axis=1)).max() < 0.02


def test_no_probability_gives_no_member():
    probability = np.full((2, 3, 3), 0.5, np.float32)
    probability[:, 0, 0] = np.nan
    rates = coupled_mmh(np.zeros((5, 3, 3), np.float32), probability, (1.0, 2.0))
    assert np.isnan(rates[:, 0, 0]).all()
    assert np.isfinite(rates[:, 1:]).all()


def test_noise_has_the_powers_and_lives_as_long_as_its_texture():
    lengths = np.geomspace(4.0, 64.0, 9)
    texture = Texture(lengths, lengths**2.5, lengths)
    waves = GaussianWaves(texture, (128, 128), 2.0, 6, 0)
    waves.advance(1e5)
    edges = band_edges_km((128, 128), 2.0)
    before = list(waves.fields_HW())
    assert np.std(before) == pytest.approx(1, abs=0.1)
    power = np.mean([band_products(one, one, 2.0, edges) for one in before], axis=0)
    middles = np.sqrt(edges[1:] * edges[:-1])
    gradient = np.polyfit(np.log(middles[1:-2]), np.log(power[1:-2]), 1)[0]
    assert gradient == pytest.approx(2.5, abs=0.3)
    waves.advance(16)
    after = list(waves.fields_HW())
    kept = np.mean([band_products(*pair, 2.0, edges) for pair in zip(before, after, strict=True)], axis=0) / power
    np.testing.assert_allclose(kept[2:-2], np.exp(-16 / middles[2:-2]), atol=0.12)


def test_noise_of_the_first_minutes_is_fine():
    lengths = np.geomspace(4.0, 64.0, 9)
    fine, coarse = (GaussianWaves(Texture(lengths, lengths**2.5, lengths**2), (128, 128), 2.0, 1, 0) for _ in range(2))
    fine.advance(1)
    coarse.advance(1e5)
    edges = band_edges_km((128, 128), 2.0)
    early, late = (band_products(one, one, 2.0, edges) for one in map(next, (fine.fields_HW(), coarse.fields_HW())))
    assert (early / late)[0] > 5 * (early / late)[-2]


def test_lifetimes_are_measured_along_the_motion():
    """Small scales that are new in the second field live shorter than the shared large ones."""
    lengths = np.geomspace(4.0, 64.0, 9)
    shared, own = Texture(lengths, lengths**4, lengths), Texture(lengths, lengths**1.0, lengths)
    fields = []
    for seed in (1, 2):
        base, new = GaussianWaves(shared, (128, 128), 2.0, 1, 0), GaussianWaves(own, (128, 128), 2.0, 1, seed)
        base.advance(1e5)
        new.advance(1e5)
        field = next(base.fields_HW()) + 0.3 * next(new.fields_HW())
        fields.append((np.exp(np.maximum(field[:128, :128], 0)) - 1).astype(np.float32))
    found = observed_texture(fields[0], fields[1], 10.0, 2.0)
    assert found.lifetime_minutes_B[0] < 15
    assert found.lifetime_minutes_B[-1] > 60
    assert (np.diff(found.lifetime_minutes_B) >= 0).all()


def test_matched_noise_gives_members_the_observed_spectrum():
    newest = _rain(240, 240)
    texture = observed_texture(newest, newest, 10.0, 1.0)
    texture = Texture(texture.wavelength_km_B, texture.power_B, texture.wavelength_km_B * 2)
    probability = np.stack([np.full(newest.shape, p, np.float32) for p in ((newest >= mmh).mean() for mmh in RATES)])
    matched = TextureMatch(newest, texture, 1.0).matched(texture, probability, RATES, 60.0)
    edges = band_edges_km(newest.shape, 1.0)

    def distance(noise):
        waves = GaussianWaves(noise, newest.shape, 1.0, 12, 5)
        waves.advance(60)
        fields = np.stack([field[: newest.shape[0], : newest.shape[1]] for field in waves.fields_HW()])
        rates = coupled_mmh(fields, probability, RATES)
        logs = [np.log1p(10 * one) for one in (newest, *rates)]
        power, *others = [band_products(one, one, 1.0, edges) for one in logs]
        return np.abs(np.log(np.median(others, axis=0) / power))[:-4].max()

    assert distance(matched) < np.log(1.5) < np.log(2) < distance(texture)


def test_the_same_seed_gives_the_same_members():
    rate = np.stack([_rain(60, 64, drift=t) for t in (4, 2, 0)])
    probability = np.stack([np.full((60, 64), p, np.float32) for p in (0.5, 0.3, 0.1, 0.02)])
    one, same, other = (_members(rate, seed=seed).at(6, probability, RATES) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).mean() > 0.2


def test_members_move_with_the_rain():
    rate = np.stack([_rain(120, 130, drift=t) for t in (12, 10, 8, 6, 4, 2, 0)])
    probability = np.stack([np.full((120, 130), p, np.float32) for p in (0.6, 0.4, 0.2, 0.05)])
    motion = np.stack([np.full((128, 192), 2.0), np.zeros((128, 192))]).astype(np.float32)
    ensemble = _members(rate, count=3, paths=Trajectories(1, motion / np.float32(5), traced_LCHW(motion, 13)))
    before = ensemble.at(12, probability, RATES)[0]
    after = ensemble.at(13, probability, RATES)[0]
    logs = [np.log1p(10 * one) for one in (before, after)]
    moved, stayed = (
        np.corrcoef(logs[0][20:-20, 20:-20].ravel(), np.roll(logs[1], -shift, 1)[20:-20, 20:-20].ravel())[0, 1]
        for shift in (1, 0)
    )
    assert moved > stayed + 0.1, "two grid cells a step are one cell of members"


@pytest.mark.parametrize(
    ("shape", "cadence", "pixel_m"), [((48, 37), 5, 2000.0), ((101, 67), 10, 250.0), ((30, 33), 30, 7000.0)]
)
@pytest.mark.parametrize("rain", [0.0, 5.0])
def test_any_size_and_any_rain(shape, cadence, pixel_m, rain):
    rate = np.full((4, *shape), rain, np.float32)
    rate[-1, :9] = np.nan
    ensemble = _members(rate, cadence_minutes=cadence, pixel_m=pixel_m)
    probability = np.stack([np.where(np.isnan(rate[-1]), np.nan, p) for p in (0.5, 0.3, 0.1, 0.02)]).astype(np.float32)
    for step in (1, 2, 5):
        found = ensemble.at(step, probability, RATES)
    factor = members_factor(pixel_m)
    assert found.shape[1:] == tuple(-(-edge // factor) for edge in shape)
    assert np.isfinite(found[:, -(-9 // factor) + 1 :]).all()
    assert np.isnan(found[:, : 9 // factor]).all()


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (33, 17), (60, 60)])
@pytest.mark.parametrize("older_mmh", [3.0, 0.0])
def test_rain_without_differences_gives_members_their_share(shape, older_mmh):
    """It has no texture: its bands hold nothing but rounding, or no wave at all."""
    rate = np.full((4, *shape), 3.0, np.float32)
    rate[:-1] = older_mmh
    ensemble = _members(rate, count=20)
    probability = np.stack([np.full(shape, p, np.float32) for p in (0.97, 0.8, 0.5, 0.1)])
    for step in (1, 3):
        found = ensemble.at(step, probability, RATES)
    for mmh, p in zip(RATES, probability[:, 0, 0], strict=True):
        assert np.abs((found >= np.float32(mmh)).mean(axis=0) - p).max() <= 1 / 20 + 1e-5


def test_cells_of_members_are_at_most_four_kilometres():
    assert [members_factor(pixel_m) for pixel_m in (250.0, 1000.0, 2000.0, 2001.0, 7000.0)] == [2, 2, 2, 1, 1]


@pytest.mark.parametrize("cadence", [5, 15, 40, 60])
def test_amounts_of_a_constant_rate(cadence):
    newest = np.full((3, 4), 6.0, np.float32)
    sums = AmountSums(newest, 5)
    for minutes in range(cadence, 121, cadence):
        sums.add(np.full((5, 3, 4), 6.0, np.float32), minutes)
    found = sums.amounts()
    assert found is not None
    assert found.minutes == (60, 120)
    np.testing.assert_allclose(found.quantile_mm_SQHW[0], 6.0, rtol=1e-5)
    np.testing.assert_allclose(found.quantile_mm_SQHW[1], 12.0, rtol=1e-5)
    np.testing.assert_array_equal(found.probability_SKHW[:, :, 0, 0], [[1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]])


def test_amounts_are_trapezoids_over_the_members():
    newest = np.array([[12.0, np.nan]], np.float32)
    sums = AmountSums(newest, 2)
    sums.add(np.array([[[0.0, 1.0]], [[24.0, 1.0]]], np.float32), 30)
    assert sums.amounts() is None
    sums.add(np.array([[[0.0, 1.0]], [[24.0, 1.0]]], np.float32), 60)
    found = sums.amounts()
    assert found is not None
    assert found.minutes == (60,)
    assert found.probability_SKHW[0, :, 0, 0].tolist() == [1, 0.5, 0.5, 0.5, 0, 0]  # 3 and 21 mm
    assert np.isnan(found.probability_SKHW[..., 1]).all()
    assert np.isnan(found.quantile_mm_SQHW[..., 1]).all()
    assert found.quantile_mm_SQHW[0, :, 0, 0] == pytest.approx([3, 12, 21])


def test_quantiles_over_members():
    values = np.arange(20, dtype=np.float32)[::-1, None]
    assert member_quantiles(values, (0.1, 0.5, 0.9))[:, 0] == pytest.approx([1.5, 9.5, 17.5])
    assert member_quantiles(values[:1], (0.1, 0.9))[:, 0].tolist() == [19, 19]


def test_noise_is_hardly_stretched_where_the_motion_changes():
    x = np.arange(200, dtype=np.float32)
    jump = np.broadcast_to(np.where(x < 100, -20.0, 20.0).astype(np.float32), (2, 160, 200)).copy()
    found = smoothed(jump, 40.0)
    assert found.shape == jump.shape
    assert np.abs(np.diff(found, axis=2)).max() < 0.5
    np.testing.assert_allclose(smoothed(np.full((2, 30, 5), 3.0, np.float32), 40.0), 3.0, rtol=1e-5)
