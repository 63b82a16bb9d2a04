"""Regridding: PyTorch is the oracle of `bilinear`, a plane and pyproj are those of `onto`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from core.errors import InputError
from core.grid import DE1200, RADOLAN_900, RADOLAN_1100, Grid
from ingest.windows.regrid import bilinear, model_grid, onto

SMALL = RADOLAN_900.resized(90, 90)
COARSE = DE1200.resized(300, 275)
LON_LAT = Grid("EPSG:4326", 5.0, 56.0, 0.02, 0.01, 800, 500, "geographic")


def torch_bilinear(rate_mmh_THW, height, width):
    resized = F.interpolate(
        torch.from_numpy(np.ascontiguousarray(rate_mmh_THW))[None], (height, width), mode="bilinear"
    )
    return resized[0].numpy()


def field_like(shape, seed=0):
    return np.random.default_rng(seed).gamma(0.5, 4.0, shape).astype(np.float32)


sizes = st.integers(1, 23)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, sizes, st.integers(0, 2**31))
def test_bilinear_is_torch_up_down_and_odd(height, width, new_height, new_width, seed):
    rate_mmh_THW = field_like((2, height, width), seed)
    ours = bilinear(rate_mmh_THW, new_height, new_width)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, torch_bilinear(rate_mmh_THW, new_height, new_width), rtol=2e-5, atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, sizes, st.integers(0, 2**31))
def test_bilinear_spreads_nan_from_weighted_neighbours_only(height, width, new_height, new_width, seed):
    rate_mmh_THW = field_like((1, height, width), seed)
    holes_THW = np.random.default_rng(seed).random(rate_mmh_THW.shape) < 0.2
    with_holes_THW = np.where(holes_THW, np.float32(np.nan), rate_mmh_THW)
    has_weight_THW = bilinear(holes_THW.astype(np.float32), new_height, new_width) > 0
    ours = bilinear(with_holes_THW, new_height, new_width)
    np.testing.assert_array_equal(np.isnan(ours), has_weight_THW)
    np.testing.assert_array_equal(ours[~has_weight_THW], bilinear(rate_mmh_THW, new_height, new_width)[~has_weight_THW])


def test_bilinear_to_the_same_size_changes_nothing():
    rate_mmh_THW = field_like((2, 7, 5))
    rate_mmh_THW[0, 3, 3] = np.nan
    np.testing.assert_array_equal(bilinear(rate_mmh_THW, 7, 5), rate_mmh_THW)


@pytest.mark.parametrize("size", [(0, 5), (5, -1)])
def test_bilinear_refuses_sizes_without_cells(size):
    with pytest.raises(InputError, match="expected a shape"):
        bilinear(field_like((1, 4, 4)), *size)


def test_persistence_on_the_german_event_has_its_known_skill(shared_data):
    """CSI of the newest input frame for the five that follow, pooled over leads and six overlapping windows."""
    with xr.open_dataset(shared_data / "events" / "opera_germany_20180824.nc") as event:
        rate_mmh_THW = bilinear(event["precipitation_rate"].values[:, ::-1].astype(np.float32), 124, 124)
    counts = {threshold: np.zeros(2, np.int64) for threshold in (0.5, 2.0, 5.0)}
    for first in range(6):
        forecast_HW = rate_mmh_THW[first + 4 * 2]
        for lead in range(1, 6):
            observed_HW = rate_mmh_THW[first + (4 + lead) * 2]
            seen_HW = np.isfinite(forecast_HW) & np.isfinite(observed_HW)
            for threshold, count in counts.items():
                forecast, observed = forecast_HW[seen_HW] >= threshold, observed_HW[seen_HW] >= threshold
                count += ((forecast & observed).sum(), (forecast | observed).sum())
    csi = {threshold: round(float(hits / events), 3) for threshold, (hits, events) in counts.items()}
    assert csi == {0.5: 0.264, 2.0: 0.097, 5.0: 0.030}


def test_model_grid_of_germany_is_the_papers():
    grid = model_grid(RADOLAN_900, 900_000 / 124)
    assert grid.shape == (124, 124)
    assert model_grid(RADOLAN_900, 7258.0).shape == (124, 124)
    assert grid.extent_m == pytest.approx(RADOLAN_900.extent_m)
    assert model_grid(DE1200, 7258.0).shape == (165, 152)


@pytest.mark.parametrize(
    ("source", "pixel_m", "shape"),
    [
        (RADOLAN_900, 100.0, (900, 900)),  # never finer than the source
        (RADOLAN_900, 50_000.0, (64, 64)),  # never fewer than the minimum
        (RADOLAN_900.resized(30, 100), 50_000.0, (30, 64)),  # nor more than there are
        (LON_LAT, 5_000.0, (178, 137)),  # 8 x 111.195 km, 10 x 111.195 km x cos 52
    ],
)
def test_model_grid_keeps_its_limits(source, pixel_m, shape):
    assert model_grid(source, pixel_m).shape == shape


def test_model_grid_refuses_cells_without_size():
    with pytest.raises(InputError, match="expected a positive size"):
        model_grid(RADOLAN_900, 0.0)


def test_onto_the_same_place_is_the_field_itself():
    rate_mmh_THW = field_like((2, 90, 90))
    np.testing.assert_array_equal(onto(rate_mmh_THW, SMALL, replace(SMALL, name="another name")), rate_mmh_THW)


def test_onto_other_cells_of_the_same_area_is_bilinear():
    rate_mmh_THW = field_like((1, 90, 90))
    np.testing.assert_array_equal(onto(rate_mmh_THW, SMALL, SMALL.resized(41, 64)), bilinear(rate_mmh_THW, 41, 64))


def test_onto_by_position_agrees_with_bilinear():
    rate_mmh_THW = field_like((1, 90, 90))
    rate_mmh_THW[0, 20:30, 20:30] = np.nan
    wider = replace(SMALL, west_m=SMALL.west_m - SMALL.pixel_x_m, width=92)  # one more column on either side
    moved = onto(rate_mmh_THW, SMALL, wider)
    assert np.isnan(moved[:, :, [0, -1]]).all()
    np.testing.assert_array_equal(moved[:, :, 1:-1], rate_mmh_THW)


def test_onto_cuts_a_smaller_composite_out_of_a_larger_one():
    rate_mmh_THW = field_like((1, 1100, 900))
    cut = onto(rate_mmh_THW, RADOLAN_1100, RADOLAN_900)
    # 9 E 51 N: column 370 of the larger, 450 of the smaller; row 550 from the south of one, 450 of the other
    np.testing.assert_allclose(cut[0, :, 80:], rate_mmh_THW[0, 100:1000, :820], atol=1e-3)
    assert np.isnan(cut[0, :, :80]).all()


@pytest.mark.parametrize("target", [RADOLAN_900.resized(97, 83), LON_LAT.resized(90, 70)])
def test_onto_another_projection_keeps_places(target):
    """A field that is its own longitude comes out as the longitude of the new cells."""
    lon_HW = COARSE.lon_lat_HW()[0].astype(np.float32)
    found_HW = onto(lon_HW[None], COARSE, target)[0]
    expected_HW = target.lon_lat_HW()[0]
    inside_HW = np.isfinite(found_HW)
    assert inside_HW.mean() > 0.9
    np.testing.assert_allclose(found_HW[inside_HW], expected_HW[inside_HW], atol=0.01)


@pytest.mark.parametrize(
    "target",
    [
        Grid("EPSG:4326", -30.0, 70.0, 1.0, 1.0, 30, 60, "north-western Europe"),
        Grid("EPSG:4326", -180.0, 90.0, 5.0, 5.0, 36, 72, "the world, where the projection knows not every place"),
    ],
    ids=["europe", "world"],
)
def test_onto_is_nan_outside_and_nowhere_else(target):
    found_HW = onto(np.ones((1, 300, 275), np.float32), COARSE, target)[0]
    lon_HW, lat_HW = target.lon_lat_HW()
    places = zip(lat_HW.ravel(), lon_HW.ravel(), strict=True)
    inside_HW = np.array([COARSE.cell_of(lat, lon) is not None for lat, lon in places]).reshape(target.shape)
    assert 0 < inside_HW.sum() < inside_HW.size
    np.testing.assert_array_equal(np.isfinite(found_HW), inside_HW)
    assert (found_HW[inside_HW] == 1).all()


def test_onto_refuses_a_field_of_another_shape():
    with pytest.raises(InputError, match="on a grid of"):
        onto(field_like((1, 5, 5)), SMALL, RADOLAN_900)
