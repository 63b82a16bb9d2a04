"""Events nearby against plain loops, and the texture of rain: the spectrum and the rectangle that it takes."""

import math
import time

import numpy as np
import pytest

from verification.counts import Counts
from verification.lead import ComparedLead, Exceedance
from verification.scores import SCORES
from verification.scores.near import NearBrier, NearBrierMembers, NearCSI
from verification.scores.power_spectrum import PowerSpectrum, largest_rectangle

NAN = np.nan


@pytest.fixture
def random():
    return np.random.default_rng(7)


def largest(field, seen, edge):
    """The largest seen value in the square around each seen cell, by a loop."""
    half, found = edge // 2, []
    for r, c in zip(*np.nonzero(seen), strict=True):
        square = (slice(max(r - half, 0), r + half + 1), slice(max(c - half, 0), c + half + 1))
        found.append(field[square][seen[square]].max())
    return np.array(found)


def sparse(random, *shape):
    field = random.gamma(0.5, 2.0, shape) * (random.random(shape) < 0.03)
    field[random.random(shape) < 0.1] = NAN
    return field


@pytest.mark.parametrize("edge", [1, 3, 7])
def test_counts_of_events_nearby(random, edge):
    forecast, observed = sparse(random, 2, 17, 13)
    seen = np.isfinite(forecast) & np.isfinite(observed)
    f, o = (largest(field, seen, edge) >= 1.0 for field in (forecast, observed))
    expected = Counts(int((f & o).sum()), int((~f & o).sum()), int((f & ~o).sum()), int((~f & ~o).sum()))
    assert NearCSI(1.0, edge).totals(forecast, observed) == expected


def test_a_displaced_event_is_a_hit_nearby():
    forecast, observed = np.zeros((2, 21, 21))
    forecast[10, 10], observed[10, 13] = 1.0, 1.0
    values = [NearCSI(1.0, edge).value(NearCSI(1.0, edge).totals(forecast, observed)) for edge in (1, 5, 9, 19)]
    assert values[0] == 0.0
    assert values == sorted(values)
    assert values[-1] > 0.7


@pytest.mark.parametrize("edge", [1, 5])
def test_brier_score_of_the_largest_probability_nearby(random, edge):
    observed = sparse(random, 17, 13)
    chance = random.random((17, 13)) ** 4
    chance[3, 4:9] = NAN
    seen = np.isfinite(chance) & np.isfinite(observed)
    expected = np.mean((largest(chance, seen, edge) - (largest(observed, seen, edge) >= 1.0)) ** 2)
    score = NearBrier(1.0, edge)
    assert score.value(score.totals(chance, observed)) == pytest.approx(expected)


@pytest.mark.parametrize("edge", [1, 5])
def test_brier_score_of_the_share_of_members_nearby(random, edge):
    observed, members = sparse(random, 17, 13), sparse(random, 4, 17, 13)
    seen = np.isfinite(members).all(axis=0) & np.isfinite(observed)
    share = np.mean([largest(member, seen, edge) >= 1.0 for member in members], axis=0)
    expected = np.mean((share - (largest(observed, seen, edge) >= 1.0)) ** 2)
    score = NearBrierMembers(1.0, edge)
    assert score.value(score.totals(members, observed)) == pytest.approx(expected)


def test_one_lead_has_the_sums_of_each_part(random):
    """`compare` shares work among models; its rows are those of `totals` on the cells of the mask."""
    fields = {name: np.nan_to_num(sparse(random, 40, 30)).astype(np.float32) for name in "abo"}
    observed = fields.pop("o")
    masks = {"all": random.random((40, 30)) < 0.95}
    masks["known"] = masks["all"] & (np.arange(30) < 25)
    chance = {"a": Exceedance((1.0, 2.0), random.random((2, 40, 30)).astype(np.float32))}
    members = {"b": np.stack([*fields.values()])}
    lead = ComparedLead(5, fields, observed, masks, chance, 2000.0, members)  # type: ignore[arg-type]
    seen = 0
    for name in ("near-csi", "near-brier", "near-brier-members", "power-spectrum", "fss", "spread-skill"):
        kind = SCORES.get(name)
        for row in kind.compare(name, lead, [1.0, 2.0], [5.0, 20.0], ["all", "known"]):
            given = {"threshold_mmh": row.threshold_mmh} if row.threshold_mmh else {}
            given |= {"window_cells": {5.0: 3, 20.0: 11}[row.window_km]} if row.window_km else {}
            given |= {"pixel_m": 2000.0} if kind.has("pixel_m") else {}
            of = {"rain": fields, "members": members}.get(kind.takes, {})
            forecast = of[row.model] if of else chance["a"].probability_KHW[int(row.threshold_mmh or 1) - 1]
            here = np.where(masks[row.mask], observed, np.float32(NAN))
            assert row.sums == kind(**given).totals(forecast, here), row
            seen += 1
    assert seen == 16 + 8 + 8 + 4 + 16 + 2


# --- texture ---


@pytest.mark.parametrize("pixel_m", [1000.0, 2000.0, 250.0])
def test_a_wave_is_in_the_band_of_its_length(pixel_m):
    length_km = 192 / 14 * pixel_m / 1000
    field = 2.0 + np.cos(2 * np.pi * np.arange(192) / 192 * 14) * np.ones((96, 192))
    sums = PowerSpectrum(pixel_m).totals(field, field)
    band = int(np.argmax(sums.observed_e10))
    assert 2 ** (band / 2) <= length_km < 2 ** ((band + 1) / 2)
    # a cosine has the variance 1/2; the window spreads it over neighbours, the band holds most of it
    assert sums.observed_e10[band] / 1e10 == pytest.approx(0.5, abs=0.01)


def test_all_bands_together_have_the_variance_of_the_faded_field(random):
    field = random.gamma(0.5, 2.0, (64, 48))
    fade = np.outer(*[np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 for size in field.shape])
    variance = (((field - field.mean()) * fade) ** 2).sum() / (fade**2).sum()
    within = PowerSpectrum()._band_HF(64, 48) < 20
    found = sum(PowerSpectrum().totals(field, field).observed_e10) / 1e10
    assert found < variance
    assert found == pytest.approx(variance * within.mean(), rel=0.15)  # white noise has the same power at every wave


def test_a_smooth_forecast_has_too_little_power_at_short_wavelengths_only(random):
    observed = random.gamma(0.5, 2.0, (128, 128))
    spectrum = np.fft.fft2(observed)
    lengths = 1 / np.maximum(np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)), 1e-9)
    smooth = np.fft.ifft2(np.where(lengths < 8, spectrum * 0.1, spectrum)).real
    ratios = PowerSpectrum().totals(smooth, observed).ratios()
    assert all(ratio == pytest.approx(0.01, rel=0.05) for length, ratio, _ in ratios if length < 5.5)
    assert all(ratio == pytest.approx(1.0, rel=0.05) for length, ratio, _ in ratios if length > 11.5)
    assert PowerSpectrum().value(PowerSpectrum().totals(smooth, observed)) > 10.0


def test_a_forecast_without_texture_is_bad_and_not_undefined(random):
    observed = random.gamma(0.5, 2.0, (64, 64))
    assert PowerSpectrum().value(PowerSpectrum().totals(np.full_like(observed, 0.5), observed)) == pytest.approx(60.0)
    assert math.isnan(PowerSpectrum().value(PowerSpectrum().totals(observed, np.zeros_like(observed))))


def test_a_frame_with_a_small_rectangle_only_does_not_count(random):
    observed = random.gamma(0.5, 2.0, (40, 40))
    forecast = np.full_like(observed, NAN)
    forecast[:7] = observed[:7]
    assert not any(PowerSpectrum().totals(forecast, observed).frames)


def test_the_largest_rectangle_is_that_of_a_search(random):
    for _ in range(20):
        seen = random.random((9, 11)) < 0.8
        areas = [
            (r1 - r0) * (c1 - c0)
            for r0 in range(9) for r1 in range(r0 + 1, 10) for c0 in range(11) for c1 in range(c0 + 1, 12)
            if seen[r0:r1, c0:c1].all()
        ]  # fmt: skip
        box = largest_rectangle(seen)
        assert seen[box].all()
        assert seen[box].size == max(areas)
    assert seen[largest_rectangle(np.zeros((9, 11), bool))].size == 0


def test_single_missing_cells_do_not_break_a_rectangle():
    seen = np.ones((480, 480), bool)
    seen[5::40, 3::40] = False
    seen[:, 400:] = False
    assert largest_rectangle(seen) == (slice(0, 480), slice(0, 400))


def test_the_largest_rectangle_of_germany_is_quick():
    rows, columns = np.ogrid[:1200, :1100]
    seen = (rows - 600) ** 2 + (columns - 550) ** 2 < 500**2
    began = time.thread_time()
    box = largest_rectangle(seen)
    assert time.thread_time() - began < 0.2
    assert seen[box].mean() > 0.99
    assert seen[box].size > 0.6 * seen.sum()  # a circle's largest square is 64 % of it
