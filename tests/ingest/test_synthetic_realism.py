"""Invented days held against real ones: spectrum, wet area, intensities, and how far extrapolation gets."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import xarray as xr

from core.grid import DE1200
from ingest.readers import read_frames
from ingest.synthetic import on_de1200, weather, write_weather
from ingest.windows.regrid import bilinear

T0 = datetime(2026, 6, 1, 12, tzinfo=UTC)
SEEDS = (0, 1, 2)
PERCENTS = (50, 95, 99)
LONGEST_KM, SHORTEST_KM = 128, 8


@dataclass(frozen=True)
class Look:
    """What weather looks like: slope of the power spectrum over 8 to 128 km, wet share, quantiles of wet cells."""

    slope: float
    wet_fraction: float
    wet_mmh: tuple[float, ...]


def look_of(rate_mmh_THW: np.ndarray, pixel_km: float) -> Look:
    wet = rate_mmh_THW[rate_mmh_THW > 0.1]
    slopes = [spectral_slope(rate_mmh_HW, pixel_km) for rate_mmh_HW in rate_mmh_THW]
    quantiles = tuple(float(np.percentile(wet, percent)) for percent in PERCENTS)
    return Look(float(np.mean(slopes)), wet.size / np.isfinite(rate_mmh_THW).sum(), quantiles)


def spectral_slope(rate_mmh_HW: np.ndarray, pixel_km: float) -> float:
    """Exponent of the radially averaged power spectrum of log rates."""
    log_HW = np.log10(np.maximum(np.nan_to_num(rate_mmh_HW), 0.05))
    cells = min(log_HW.shape)
    top, left = (log_HW.shape[0] - cells) // 2, (log_HW.shape[1] - cells) // 2
    square = log_HW[top : top + cells, left : left + cells]
    taper = np.hanning(cells)
    power = np.abs(np.fft.fftshift(np.fft.fft2((square - square.mean()) * np.outer(taper, taper)))) ** 2
    number = np.rint(np.hypot(*np.ogrid[-(cells // 2) : cells - cells // 2, -(cells // 2) : cells - cells // 2]))
    number = number.astype(int).ravel()
    mean_power = np.bincount(number, power.ravel()) / np.bincount(number)
    rings = np.arange(1, cells // 2)
    length_km = cells * pixel_km / rings
    used = rings[(length_km >= SHORTEST_KM) & (length_km <= LONGEST_KM)]
    return float(np.polyfit(np.log(used), np.log(mean_power[used]), 1)[0])


@pytest.fixture(scope="module")
def real(real_events) -> dict[str, Look]:
    """Every event around its wettest frame (wet share: of all of it), but for the coarse twin of the German one."""
    looks = {}
    for path in (path for path in real_events if path.stem != "opera_europe_20180824"):
        with xr.open_dataset(path) as event:
            rate = event["precipitation_rate"]
            pixel_km = float(event["x"][1] - event["x"][0]) / 1000
            all_mmh_THW = rate[4:-4:8].values
            wettest = 4 + 8 * int(np.argmax((all_mmh_THW > 0.1).sum(axis=(1, 2))))
            wet_fraction = (all_mmh_THW > 0.1).sum() / np.isfinite(all_mmh_THW).sum()
            look = look_of(rate[[wettest - 4, wettest, wettest + 4]].values, pixel_km)
            looks[path.stem] = replace(look, wet_fraction=float(wet_fraction))
    return looks


@pytest.fixture(scope="module")
def invented() -> dict[int, np.ndarray]:
    """Half an hour and the hour after it, every 15 minutes, of three seeds."""
    return {
        seed: np.stack([frame.rate_mmh_HW for frame in weather(T0 + timedelta(hours=7 * seed), 1.5, seed, 15)])
        for seed in SEEDS
    }


def test_spectrum_wet_area_and_intensities_lie_in_the_range_of_real_events(real, invented):
    looks = [look_of(rate_mmh_THW[::3], 1.0) for rate_mmh_THW in invented.values()]
    slopes = [look.slope for look in real.values()]
    assert -3.5 < min(slopes) < max(slopes) < -2, "the yardstick itself"
    assert min(slopes) <= np.mean([look.slope for look in looks]) <= max(slopes)
    wet = [look.wet_fraction for look in real.values()]
    for look in looks:
        assert min(slopes) - 0.1 <= look.slope <= max(slopes) + 0.1
        assert min(wet) <= look.wet_fraction <= max(wet)
        for place, percent in enumerate(PERCENTS):
            quantiles = [event.wet_mmh[place] for event in real.values()]
            assert min(quantiles) <= look.wet_mmh[place] <= max(quantiles), percent


def csi_of_extrapolation(rate_mmh_THW: np.ndarray) -> float:
    """CSI at 0.5 mm/h of pysteps' extrapolation from the first three fields to the seventh, an hour later."""
    from pysteps import motion, nowcasts

    past_db = 10 * np.log10(np.maximum(np.nan_to_num(rate_mmh_THW[:3]), 0.1))
    velocity = motion.get_method("lucaskanade")(past_db, verbose=False)
    forecast_HW = nowcasts.get_method("extrapolation")(rate_mmh_THW[2], velocity, 4)[-1]
    seen_HW = np.isfinite(forecast_HW) & np.isfinite(rate_mmh_THW[6])
    forecast, observed = forecast_HW[seen_HW] >= 0.5, rate_mmh_THW[6][seen_HW] >= 0.5
    return float((forecast & observed).sum() / (forecast | observed).sum())


def test_extrapolation_is_good_for_an_hour_but_not_perfect(invented):
    """On the model's grid; real events have 0.36 to 0.57 there."""
    for seed, rate_mmh_THW in invented.items():
        assert 0.3 < csi_of_extrapolation(bilinear(rate_mmh_THW, 124, 124)) < 0.7, seed


def test_the_same_weather_as_hdf5_of_the_dwd(tmp_path, invented):
    (path,) = write_weather(tmp_path, T0, 0, 0, odim=True)
    assert path.name == "raa01-ry_10000-2606011200-dwd---bin.hdf5"
    (frame,) = read_frames(path)
    assert (frame.grid, frame.valid_time, frame.product, frame.lead_minutes) == (DE1200, T0, "RY", 0)
    assert frame.missing_radars == ()
    (binary,) = weather(T0, 0, 0)
    np.testing.assert_allclose(frame.rate_mmh_HW, on_de1200(binary).rate_mmh_HW, atol=1e-4)
    inside_HW = np.isfinite(frame.rate_mmh_HW)
    assert np.nanmean(frame.rate_mmh_HW) == pytest.approx(np.nanmean(binary.rate_mmh_HW), rel=0.02)
    assert inside_HW.sum() == pytest.approx(np.isfinite(binary.rate_mmh_HW).sum(), rel=0.01)
