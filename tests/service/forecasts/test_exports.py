"""A forecast in the formats of others, opened by their own readers, and on the grid of the scans."""

import io
import os
import threading
from dataclasses import replace
from datetime import timedelta

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
from pyproj import Transformer

from core.errors import ForecastError, NoDataError, NotAcceptableError
from core.grid import Grid
from core.times import iso
from service.forecasts.exports import WRITERS, export_path, exported, on_source_grid
from service.forecasts.fields import FIELDS
from tests.service.api_support import GRID, REFERENCE, fill, running, service_at
from tests.service.fakes import fields_of, write_fields

WET = 17, 24
"""Of the world's forecast: not symmetrical, so that a flip is seen."""


@pytest.fixture
def forecast(world, window_frames):
    world.model.pixel_m = 2000.0
    world.put(*window_frames)
    return world.service.forecast_stored()


def test_the_source_grid_has_a_value_exactly_where_the_model_has_one(forecast):
    with xr.open_dataset(exported(forecast, "nc", source=True)) as dataset:
        rates = dataset.rainfall_rate.values
        assert "bilinear" in dataset.attrs["resampling"]
        np.testing.assert_array_equal(dataset.coverage.values == 1, np.isfinite(rates))
        np.testing.assert_allclose(dataset.x.values, forecast.source_grid.x_centres_m)
    assert rates.shape == (5, *forecast.source_grid.shape)
    own = forecast.rate_mmh_THW
    assert np.isnan(own).any()


def test_resampling_by_hand():
    grid, source = (
        Grid("+proj=cea +units=m", 0.0, 4.0, size, size, int(4 / size), int(4 / size)) for size in (2.0, 1.0)
    )
    field = np.array([[[0.0, 4.0], [np.nan, 4.0]]], np.float32)
    fine = on_source_grid(field, grid, source)[0]
    np.testing.assert_array_equal(np.isnan(fine), [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]])
    np.testing.assert_allclose(fine[0], [0, 1, 3, 4])
    np.testing.assert_allclose(fine[1], [0, 0, 4, 4])  # next to cells that are not observed a cell keeps its own value
    np.testing.assert_allclose(fine[3, 2:], [4, 4])


def test_a_model_cell_of_its_own_place_keeps_its_value(forecast):
    fine = on_source_grid(forecast.rate_mmh_THW, forecast.grid, forecast.grid)
    np.testing.assert_array_equal(fine, forecast.rate_mmh_THW)


def test_wradlib_and_pysteps_open_the_hdf5(forecast):
    import wradlib
    from pysteps.io.importers import import_odim_hdf5

    content = wradlib.io.read_opera_hdf5(str(exported(forecast, "h5")))
    counts = np.stack([content[f"dataset{n}/data1/data"] for n in range(1, 6)])
    seen = np.isfinite(forecast.rate_mmh_THW)
    np.testing.assert_array_equal(counts != 2**32 - 1, seen)
    np.testing.assert_allclose(counts[seen] * 0.01, forecast.rate_mmh_THW[seen], atol=0.0101)
    with h5py.File(exported(forecast, "h5", lead_minutes=60)) as file:
        assert list(file) == ["dataset1", "how", "what", "where"]
    rate, _, meta = import_odim_hdf5(str(exported(forecast, "h5", lead_minutes=60)), qty="RATE")
    np.testing.assert_allclose(rate, forecast.rate_mmh_THW[1], atol=0.0051)
    assert meta["unit"] == "mm/h"


def test_the_geotiff_is_cloud_optimised_and_has_the_places(forecast):
    wide = exported(forecast, "tif", source=True)
    with rasterio.open(wide) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.count == 5
        assert np.isnan(raster.nodata)
        assert raster.descriptions[1] == "rainfall_rate +60 min"
        assert raster.tags(2)["VALID_TIME"] == "2024-06-01T13:00:00Z"
    with rasterio.open(exported(forecast, "tif")) as raster:
        values = raster.read(1)
        np.testing.assert_array_equal(values, forecast.rate_mmh_THW[0])
        x, y = forecast.grid.x_centres_m[WET[1]], forecast.grid.y_centres_m[WET[0]]
        to_raster = Transformer.from_crs(forecast.grid.projection, raster.crs, always_xy=True)
        assert raster.index(*to_raster.transform(x, y)) == WET


def test_a_file_is_written_once_and_anew_after_its_forecast(forecast, monkeypatch):
    calls: list[str] = []
    original = WRITERS.get("tif")

    def counted(field, path):
        calls.append("tif")
        original(field, path)

    monkeypatch.setitem(WRITERS._entries, "tif", counted)
    threads = [threading.Thread(target=exported, args=(forecast, "tif")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["tif"]
    write_fields(forecast, fields_of(forecast.rate_mmh_THW * 2))
    later = forecast.path.stat().st_mtime_ns + 10**9
    os.utime(forecast.path, ns=(later, later))
    with rasterio.open(exported(forecast, "tif")) as raster:
        np.testing.assert_array_equal(raster.read(1), forecast.rate_mmh_THW[0])
    assert calls == ["tif", "tif"]
    assert FIELDS.read(forecast).rate_mmh_THW[0].tobytes() == forecast.rate_mmh_THW[0].tobytes()


def test_what_cannot_be(forecast):
    with pytest.raises(NoDataError, match=r"lead_minutes: expected one of .*, got 45"):
        exported(forecast, "h5", lead_minutes=45)
    with pytest.raises(NoDataError, match="is not stored"):
        exported(replace(forecast, source_grid=None), "nc", source=True)
    grid = Grid("EPSG:4326", 8.0, 52.0, 0.1, 0.1, *forecast.grid.shape)
    degrees = replace(forecast, grid=grid, path=forecast.path.with_name("degrees.nc"))
    write_fields(degrees, fields_of(forecast.rate_mmh_THW))
    with pytest.raises(NotAcceptableError, match="metres"):
        exported(degrees, "h5")
    assert not list(forecast.path.parent.glob("*.part"))


def test_the_catalogue_does_not_take_an_export_for_a_forecast(world, forecast):
    exported(forecast, "nc", source=True)
    before = world.service.list(limit=100)
    world.service.catalogue.rebuild()
    assert world.service.list(limit=100) == before


@pytest.mark.parametrize("wanted", [True, False])
def test_the_cycle_writes_the_source_grid_by_the_setting(open_world, window_frames, wanted):
    world = open_world(write_source_grid=wanted)
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    assert export_path(forecast, "nc", source=True).is_file() is wanted
    assert len(list(world.home.rglob("*.source.nc"))) == wanted  # not for the baselines


def test_files_over_http(tmp_path):
    service = service_at(tmp_path)
    fill(service)
    forecast = service.forecast_stored()
    with running(service) as client:
        for suffix, kind in (("nc", "application/netcdf"), ("h5", "application/x-hdf5"), ("tif", "image/tiff")):
            for grid in ("model", "source"):
                answer = client.get(f"/nowcast/latest/file.{suffix}", params={"grid": grid})
                assert answer.status_code == 200, answer.text
                assert answer.headers["content-type"].startswith(kind)
                again = client.get(
                    f"/nowcast/latest/file.{suffix}",
                    params={"grid": grid},
                    headers={"If-None-Match": answer.headers["etag"]},
                )
                assert (again.status_code, again.content) == (304, b"")
        part = client.get("/nowcast/latest/file.tif", headers={"Range": "bytes=0-3"})
        assert (part.status_code, part.content) == (206, b"II*\0")
        assert client.get("/nowcast/latest/file.h5?lead=45").status_code == 404
        for lead in (None, 30, 60):  # one data set a file, so that no reader takes a lead that was not requested
            found = client.get("/nowcast/latest/file.h5", params={"lead": lead} if lead else {})
            with h5py.File(io.BytesIO(found.content)) as file:
                assert list(file) == ["dataset1", "how", "what", "where"]
                time = REFERENCE + timedelta(minutes=lead or 30)
                assert file["dataset1/what"].attrs["endtime"].decode() == f"{time:%H%M%S}"
                assert file.attrs["Conventions"] == b"ODIM_H5/V2_4"
        assert client.get("/nowcast/latest/file.h5?grid=moon").status_code == 422
        own = client.get("/nowcast/latest/file.nc").content
    assert own == forecast.path.read_bytes()
    assert forecast.source_grid == GRID


@pytest.mark.parametrize(
    ("settings", "weather", "attribution"),
    [
        ({"invented": True}, "invented", "Invented weather for demonstration: no real radar data."),
        ({"source_kind": "replay"}, "replayed", "Radar product RY."),
        ({"source_kind": "dwd"}, "observed", "Radar product RY: Deutscher Wetterdienst (CC BY 4.0)."),
        ({"attribution": "Radar: our own"}, "observed", "Radar: our own"),
    ],
)
def test_every_file_states_what_it_is_made_of(open_world, window_frames, settings, weather, attribution):
    world = open_world(**settings)
    world.model.pixel_m = 2000.0
    world.model.fails = ForecastError("no")  # the fallback is stated, too
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    assert forecast.method == "extrapolation"
    expected = {
        "weather": weather,
        "attribution": attribution,
        "status": "degraded",
        "method": "extrapolation",
        "stale_from": iso(forecast.reference_time + timedelta(seconds=600)),
        "notes": "; ".join(forecast.notes),
    }
    with xr.open_dataset(forecast.path) as dataset:
        for name in ("weather", "attribution", "status", "method", "stale_from"):
            assert dataset.attrs[name] == expected[name], name
    with h5py.File(exported(forecast, "h5")) as file:
        assert {name: file["how"].attrs[name].decode() for name in expected} == expected
    with rasterio.open(exported(forecast, "tif")) as raster:
        assert {name: raster.tags()[name.upper()] for name in expected} == expected
    assert world.service.get(forecast.id).weather == weather  # read from the catalogue again
