"""The files open elsewhere with the right places and times, and the pictures show north on top."""

import io
from dataclasses import replace

import netCDF4
import numpy as np
import pytest
import rasterio
import xarray as xr
from PIL import Image
from pyproj import Transformer

import service.forecasts.netcdf
import service.forecasts.products
from core.colours import DRY, NO_DATA, RAIN_COLOURS, colours
from core.errors import NoDataError
from core.grid import RADOLAN_900
from core.times import utc
from service.forecasts.image import image_png, visible_scale
from service.forecasts.maker import forecast_id
from service.forecasts.netcdf import read_packed
from service.forecasts.products import inputs_png, lead_png, read_forecast, read_known
from service.forecasts.records import read_rate
from service.inference.inputs import model_input
from tests.service.fakes import fields_of, write_fields

LEADS = (30, 60, 90, 120, 150)
CITIES = {"Berlin": (52.52, 13.405), "Munich": (48.137, 11.576), "Hamburg": (53.551, 9.994)}


@pytest.fixture
def forecast(world, window_frames):
    world.put(*window_frames)
    return world.service.forecast_stored()


def test_the_file_holds_the_whole_record(forecast):
    assert read_forecast(forecast.path) == forecast


def test_xarray_opens_the_forecast(forecast, reference_time):
    with xr.open_dataset(forecast.path) as dataset:
        assert dataset.rainfall_rate.dims == ("time", "y", "x")
        assert dataset.rainfall_rate.attrs["units"] == "mm h-1"
        assert dataset.rainfall_rate.attrs["grid_mapping"] == "crs"
        assert dataset.crs.attrs["grid_mapping_name"] == "polar_stereographic"
        assert (np.diff(dataset.y.values) < 0).all()
        assert utc(str(dataset.forecast_reference_time.values.astype("datetime64[s]"))) == reference_time
        assert dataset.forecast_period.attrs["units"] == "minutes"
        assert dataset.forecast_period.values.tolist() == [30, 60, 90, 120, 150]
        missing = np.isnan(dataset.rainfall_rate.values)
        np.testing.assert_array_equal(dataset.coverage.values == 0, missing)
        assert missing[0, :4, :4].all()
        assert missing[0].sum() == 16
        assert dataset.attrs["model"] == "fading"
        assert dataset.attrs["forecast_id"] == forecast.id


def test_known_comes_back_and_is_cf(forecast):
    known_LHW = np.isfinite(forecast.rate_mmh_THW)
    known_LHW[:, 10:20, :5] = False
    write_fields(forecast, fields_of(forecast.rate_mmh_THW, known_LHW=known_LHW))
    np.testing.assert_array_equal(read_known(forecast.path), known_LHW)
    with xr.open_dataset(forecast.path) as dataset:
        known = dataset.known
        assert (known.dims, known.dtype) == (("time", "y", "x"), np.int8)
        assert known.attrs["flag_values"].tolist() == [0, 1]
        assert known.attrs["flag_meanings"] == "unknown_inflow_or_no_data known"
        assert known.attrs["grid_mapping"] == "crs"
        assert dataset.rainfall_rate.attrs["ancillary_variables"] == "coverage known"
        assert known.encoding["zlib"]


def test_a_file_without_known_has_none(forecast):
    with xr.open_dataset(forecast.path, decode_cf=False) as dataset:
        older = dataset.drop_vars("known").load()
    older.to_netcdf(forecast.path)
    assert read_known(forecast.path) is None


@pytest.mark.parametrize("city", CITIES)
def test_rasterio_finds_the_cities(forecast, city):
    lat, lon = CITIES[city]
    row, col = RADOLAN_900.cell_of(lat, lon) or (-1, -1)
    field_HW = np.zeros(RADOLAN_900.shape, np.float32)
    field_HW[row, col] = 10
    wide = replace(forecast, grid=RADOLAN_900, path=forecast.path.with_name("wide.nc"), lead_minutes=(30,))
    write_fields(wide, fields_of(field_HW[None]))
    with rasterio.open(f"netcdf:{wide.path}:rainfall_rate") as raster:
        to_raster = Transformer.from_crs(RADOLAN_900.projection.geodetic_crs, raster.crs, always_xy=True)
        found = raster.index(*to_raster.transform(lon, lat))
        assert np.abs(np.subtract(found, (row, col))).max() <= 1
        found_row, found_col = np.unravel_index(np.nanargmax(raster.read(1)), raster.shape)
        assert (int(found_row), int(found_col)) == (row, col)


def test_ids_follow_content_times_model_version_and_leads(world, window_frames):
    world.put(*window_frames)
    inputs = model_input(world.store.window(), 2000.0, LEADS)
    name = forecast_id(inputs, "m", "1", "scans")
    assert name == forecast_id(model_input(world.store.window(), 2000.0, LEADS), "m", "1", "scans")
    others = {
        forecast_id(inputs, "n", "1", "scans"),
        forecast_id(inputs, "m", "2", "scans"),
        forecast_id(replace(inputs, lead_minutes=(*LEADS, 180)), "m", "1", "scans"),
        forecast_id(replace(inputs, lead_minutes=LEADS[1::2]), "m", "1", "scans"),
        forecast_id(inputs, "m", "1", "upload"),
        forecast_id(replace(inputs, sha256="0"), "m", "1", "scans"),
    }
    assert len(others | {name}) == 7


def test_no_data_has_one_content_whatever_its_bits(world, window_frames):
    world.put(*window_frames)
    window = world.store.window()
    other = window.rate_mmh_THW.copy()
    other.view(np.uint32)[np.isnan(other)] = 0x7FC12345
    assert np.array_equal(other, window.rate_mmh_THW, equal_nan=True)
    changed = model_input(replace(window, rate_mmh_THW=other), 2000.0, LEADS)
    assert changed.sha256 == model_input(window, 2000.0, LEADS).sha256


def test_colours_by_hand():
    rates = np.array([[0.0, 0.09, 0.1, 0.49, 0.5], [1.0, 4.99, 29.9, 30.0, np.nan]], np.float32)
    by_edge = dict(RAIN_COLOURS)
    assert [[tuple(cell) for cell in row] for row in colours(rates).tolist()] == [
        [DRY, DRY, by_edge[0.1], by_edge[0.1], by_edge[0.5]],
        [by_edge[1.0], by_edge[2.0], by_edge[10.0], by_edge[30.0], NO_DATA],
    ]


def test_picture_has_north_on_top_and_whole_cells():
    rates = np.zeros((3, 2), np.float32)
    rates[0, 1] = 50
    picture = Image.open(io.BytesIO(image_png(rates, scale=4)))
    assert picture.size == (8, 12)
    assert picture.mode == "RGBA"
    pixels = np.asarray(picture)
    assert (pixels[:4, 4:] == dict(RAIN_COLOURS)[30.0]).all()
    assert (pixels[4:, :, 3] == 0).all()
    assert visible_scale((124, 124)) == 4
    assert visible_scale((900, 900)) == 1


def test_pictures_of_leads_and_inputs(forecast):
    first = np.asarray(Image.open(io.BytesIO(lead_png(forecast, 30, scale=1))))
    np.testing.assert_array_equal(first, colours(forecast.rate_mmh_THW[0]))
    assert tuple(first[0, 0]) == NO_DATA
    newest = np.asarray(Image.open(io.BytesIO(inputs_png(forecast, -1))))
    assert newest.shape == (480, 480, 4)
    with pytest.raises(NoDataError, match=r"expected one of 30, 60.* got 45"):
        lead_png(forecast, 45)
    with pytest.raises(NoDataError, match="input step: expected 0 to 4, got 5"):
        inputs_png(forecast, 5)
    forecast.inputs_path.unlink()
    with pytest.raises(NoDataError, match="not kept"):
        inputs_png(forecast, 0)


def test_a_picture_reads_its_own_field_alone(forecast, monkeypatch):
    leads = []

    def counted(path, name, chosen=None, **more):
        leads.append(None if chosen is None else list(chosen))
        return read_packed(path, name, chosen, **more)

    monkeypatch.setattr(service.forecasts.netcdf, "read_packed", counted)
    monkeypatch.setattr(service.forecasts.products, "read_packed", counted)
    last = np.asarray(Image.open(io.BytesIO(lead_png(forecast, 150, scale=1))))
    oldest, newest = (inputs_png(forecast, step, scale=1) for step in (0, -1))
    assert leads == [[4], [4], [0], [4]]
    np.testing.assert_array_equal(last, colours(read_rate(forecast.path)[4]))
    assert oldest != newest


def test_files_are_plain_netcdf4(forecast, world, later_frames, window_frames):
    upload = world.service.forecast_upload(window_frames, later_frames)
    for path in (upload.path, upload.inputs_path, upload.observations_path):
        with netCDF4.Dataset(path) as dataset:
            assert dataset.Conventions == "CF-1.13"
            assert dataset["rainfall_rate"].shape == (5, 40, 40)
    assert not list(world.home.rglob("*.part"))
