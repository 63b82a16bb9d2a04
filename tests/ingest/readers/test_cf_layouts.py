"""A random field with a known place, unit, time, lead and missing mask, written in many CF layouts and read back."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import CRS

from core.errors import FrameError
from core.grid import RADOLAN_SPHERE, Grid
from core.times import utc
from ingest.readers import read_frames
from training.datasets.series import open_series

Layout = Callable[[xr.Dataset], xr.Dataset]
MAP_GRID = Grid(RADOLAN_SPHERE, -300_000.0, -3_900_000.0, 2000.0, 1000.0, 12, 9)
START = utc("2026-06-01T23:50Z")
RAIN = "rain"


def field_THW(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Three fields of whole tenths of mm/h, none above 60, and cells that are not observed."""
    random = np.random.default_rng(seed)
    field = (random.gamma(0.4, 5.0, (3, *shape)).clip(0, 60) * 10).round() / 10
    field[random.random(field.shape) < 0.2] = np.nan
    field[:, 0, 0], field[:, 0, 1] = 1.2, np.nan
    return field.astype(np.float32)


def times() -> list[datetime]:
    """Three times, of which two are on the next day."""
    return [START + timedelta(minutes=10 * step) for step in range(3)]


def on_a_map(field: np.ndarray, grid: Grid = MAP_GRID) -> xr.Dataset:
    attributes = {"standard_name": "rainfall_rate", "units": "mm h-1", "grid_mapping": "crs"}
    axes = {a: {"standard_name": f"projection_{a}_coordinate", "units": "m", "axis": a.upper()} for a in "xy"}
    return xr.Dataset(
        {RAIN: (("time", "y", "x"), field, attributes), "crs": ((), np.int32(0), CRS(grid.crs).to_cf())},
        coords={
            "time": ("time", np.array([t.replace(tzinfo=None) for t in times()], "datetime64[ns]")),
            "y": ("y", grid.y_centres_m, axes["y"]),
            "x": ("x", grid.x_centres_m, axes["x"]),
        },
    )


def attributes(name: str, **values: Any) -> Layout:
    def changed(data: xr.Dataset) -> xr.Dataset:
        data[name].attrs.update(values)
        return data

    return changed


def unit(units: str, factor: float, standard_name: str = "rainfall_rate") -> Layout:
    def changed(data: xr.Dataset) -> xr.Dataset:
        data[RAIN] = data[RAIN].copy(data=data[RAIN].values.astype(np.float64) / factor)
        data[RAIN].attrs |= {"units": units, "standard_name": standard_name}
        return data

    return changed


def projection(*absent: str, **values: Any) -> Layout:
    """Write the projection's CF attributes without its WKT and without the absent ones."""

    def changed(data: xr.Dataset) -> xr.Dataset:
        stated = {**data["crs"].attrs, **values}
        data["crs"].attrs = {name: value for name, value in stated.items() if name not in ("crs_wkt", *absent)}
        return data

    return changed


def text_as_scale(data: xr.Dataset) -> xr.Dataset:
    data[RAIN].attrs["scale_factor"] = "0.1"
    return data


def flags_among_counts(data: xr.Dataset) -> xr.Dataset:
    """Store cells that are not observed as a flag, which no fill value states."""
    counts = (data[RAIN] * 10).round().fillna(1000).astype("int16")
    counts.encoding = {"_FillValue": np.int16(-1)}
    counts.attrs = {
        **data[RAIN].attrs,
        "scale_factor": 0.1,
        "flag_values": np.array([1000, 1001], "int16"),
        "flag_meanings": "outside clutter",
    }
    return data.assign({RAIN: counts})


LAMBERT = {
    "grid_mapping_name": "lambert_conformal_conic",
    "standard_parallel": [52.0],
    "longitude_of_projection_origin": 9.0,
    "latitude_of_projection_origin": 70.0,
}


def axes_in(units: str, metres: float) -> Layout:
    def changed(data: xr.Dataset) -> xr.Dataset:
        for axis in "xy":
            data[axis] = (axis, data[axis].values / metres, {**data[axis].attrs, "units": units})
        return data

    return changed


def packed(dtype: str, fill: int | None, **more: Any) -> Layout:
    def changed(data: xr.Dataset) -> xr.Dataset:
        missing = -32767 if fill is None else fill
        counts = np.where(np.isnan(data[RAIN].values), missing, np.round(data[RAIN].values * 10)).astype(dtype)
        stated = {
            "scale_factor": 0.1,
            "add_offset": 0.0,
            **({} if fill is None else {"_FillValue": fill}),
        }
        data[RAIN] = (("time", "y", "x"), counts, {**data[RAIN].attrs, **stated, **more})
        return data

    return changed


def filled(value: float, **stated: Any) -> Layout:
    def changed(data: xr.Dataset) -> xr.Dataset:
        data[RAIN] = data[RAIN].fillna(np.float32(value)).assign_attrs(data[RAIN].attrs | stated)
        data[RAIN].encoding["_FillValue"] = None
        return data

    return changed


def clock(units: str, dtype: str = "float64", calendar: str = "standard") -> Layout:
    def changed(data: xr.Dataset) -> xr.Dataset:
        data["time"].encoding = {"units": units, "dtype": dtype, "calendar": calendar}
        return data

    return changed


def wkt_in_km(data: xr.Dataset) -> xr.Dataset:
    data["crs"].attrs = {"crs_wkt": CRS(RADOLAN_SPHERE.replace("+units=m", "+units=km")).to_wkt()}
    return data


def second_variable(**changes: Any) -> Layout:
    def changed(data: xr.Dataset) -> xr.Dataset:
        other = data[RAIN].copy(data=np.full(data[RAIN].shape, 5.0, np.float32))
        other.attrs |= changes
        return xr.Dataset({"aside": other, **data.data_vars}, coords=data.coords)

    return changed


def bounds(data: xr.Dataset) -> xr.Dataset:
    ends = data["time"].values
    data["time_bnds"] = (("time", "nv"), np.stack([ends - np.timedelta64(10, "m"), ends], axis=1))
    data["time"].attrs["bounds"] = "time_bnds"
    data["time"].encoding["units"] = "minutes since 2026-01-01"
    return data


def projection_text(name: str, text: str) -> Layout:
    def changed(data: xr.Dataset) -> xr.Dataset:
        data["crs"].attrs = {name: text}
        return data

    return changed


def name_and_unit_alone(data: xr.Dataset) -> xr.Dataset:
    del data[RAIN].attrs["standard_name"]
    return data


def short_of_its_smallest_count(data: xr.Dataset) -> xr.Dataset:
    counts = np.where(np.isnan(data[RAIN].values), -32768, np.round(data[RAIN].values * 10)).astype("int16")
    data[RAIN] = (("time", "y", "x"), counts, {**data[RAIN].attrs, "scale_factor": 0.1, "add_offset": 0.0})
    return data


LAYOUTS: dict[str, Layout] = {
    "time y x": lambda data: data,
    "time x y": lambda data: data.transpose("time", "x", "y"),
    "y x time": lambda data: data.transpose("y", "x", "time"),
    "x y time": lambda data: data.transpose("x", "y", "time"),
    "rows from the south": lambda data: data.isel(y=slice(None, None, -1)),
    "columns from the east": lambda data: data.isel(x=slice(None, None, -1)),
    "both turned and transposed": lambda data: data.isel(x=slice(None, None, -1), y=slice(None, None, -1)).transpose(),
    "other names": lambda data: data.rename(x="col", y="row", time="when"),
    "height of one level": lambda data: data.expand_dims(height=[2.0]).assign(crs=data["crs"]),
    "one member": lambda data: data.assign({RAIN: data[RAIN].expand_dims("member")}),
    "km": axes_in("km", 1000),
    "kilometre": axes_in("kilometre", 1000),
    "KM": axes_in("KM", 1000),
    "1000 meters": axes_in("1000 meters", 1000),
    "centimetres": axes_in("cm", 0.01),
    "WKT in km, axes in m": wkt_in_km,
    "WKT in km, axes in km": lambda data: axes_in("km", 1000)(wkt_in_km(data)),
    "grid mapping of CF 1.7": attributes(RAIN, grid_mapping="crs: x y"),
    "two grid mappings": attributes(RAIN, grid_mapping="other: lat lon crs: x y"),
    "mm/hour": unit("mm/hour", 1),
    "mm.h-1": unit("mm.h-1", 1),
    "m s-1": unit("m s-1", 3.6e6),
    "kg m-2 s-1": unit("kg m-2 s-1", 3600, "precipitation_flux"),
    "mm/day": unit("mm/day", 1 / 24, "lwe_precipitation_rate"),
    "amount with bounds": lambda data: bounds(unit("kg m-2", 6, "rainfall_amount")(data)),
    "amount with an interval": lambda data: unit("m", 6000, "lwe_thickness_of_precipitation_amount")(data).assign_attrs(
        interval_minutes=10
    ),
    "packed short": packed("int16", -1),
    "packed, default fill": packed("int16", None),
    "packed, valid_range packed": packed("int16", 32000, valid_range=np.array([0, 6000], "int16")),
    "packed, -9999 unstated": lambda data: packed("int16", None)(data.fillna({RAIN: -999.9})),
    "packed, smallest count unstated": short_of_its_smallest_count,
    "valid_range without fill": packed("int32", None, valid_range=np.array([0, 6000], "int32")),
    "default fill value": filled(9.96921e36),
    "1e20": filled(1e20),
    "missing_value": filled(-99.0, missing_value=np.float32(-99.0)),
    "valid_max": filled(999.0, valid_max=np.float32(600.0)),
    "valid_min": filled(-9999.0, valid_min=np.float32(0.0)),
    "days since 0001": clock("days since 0001-01-01"),
    "days since 1970": clock("days since 1970-01-01"),
    "float32 days": clock("days since 2026-01-01", "float32"),
    "hours with an offset": clock("hours since 2026-06-01 02:00:00 +02:00"),
    "proleptic": clock("seconds since 2000-01-01", "int64", "proleptic_gregorian"),
    "milliseconds": clock("milliseconds since 1970-01-01 00:00:00", "int64"),
    "nanoseconds": clock("nanoseconds since 1970-01-01", "int64"),
    "Julian days": clock("days since -4713-11-24 12:00:00", calendar="proleptic_gregorian"),
    "name and unit alone": name_and_unit_alone,
    "spatial_ref as PROJ text": projection_text("spatial_ref", RADOLAN_SPHERE),
    "proj4": projection_text("proj4", RADOLAN_SPHERE),
    "longitudes of two dimensions too": lambda data: data.assign_coords(
        {
            name: (("y", "x"), values, {"standard_name": name, "units": "degrees"})
            for name, values in zip(("longitude", "latitude"), MAP_GRID.lon_lat_HW(), strict=True)
        }
    ),
    "CF attributes alone": projection(),
    "an incomplete mapping and a whole PROJ text": projection(
        "straight_vertical_longitude_from_pole", proj4=RADOLAN_SPHERE
    ),
    "hour 00 of the epoch": clock("minutes since 2026-06-01 00"),
    "Mm/h": unit("Mm/h", 1),
    "flags among the counts": flags_among_counts,
    "a mean of maxima by its comment": attributes(RAIN, cell_methods="time: mean (comment: of maximum counts)"),
    "quality with a rate's name": second_variable(flag_meanings="good bad"),
    "maximum aside": second_variable(cell_methods="time: maximum"),
    "coverage in another unit": second_variable(units="1"),
}


def check(frames: list[Any], field: np.ndarray, grid: Grid) -> None:
    assert [frame.valid_time for frame in frames] == times()
    for frame, expected_HW in zip(frames, field, strict=True):
        assert frame.grid.shape == grid.shape
        np.testing.assert_allclose(
            frame.grid.corners_lon_lat(), grid.corners_lon_lat(), atol=0.4 * grid.pixel_y_m / 111_000
        )
        np.testing.assert_array_equal(np.isnan(frame.rate_mmh_HW), np.isnan(expected_HW))
        np.testing.assert_allclose(frame.rate_mmh_HW, expected_HW, atol=1e-3, rtol=1e-5)
        assert frame.lead_minutes == 0


@pytest.mark.parametrize("name", LAYOUTS)
@given(seed=st.integers(0, 2**16))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_layout_is_read_back(name: str, seed: int, tmp_path: Path) -> None:
    field = field_THW(seed, MAP_GRID.shape)
    path = tmp_path / f"{seed}.nc"
    LAYOUTS[name](on_a_map(field)).to_netcdf(path)
    check(read_frames(path), field, MAP_GRID)
    series = open_series(path)
    assert [int(minute) * 60 for minute in series.minutes] == [int(time.timestamp()) for time in times()]
    np.testing.assert_allclose(series.fields_mmh(slice(0, 3)), field, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["time y x", "x y time", "kilometre", "packed short", "valid_max", "1e20"])
def test_zarr_of_both_versions_is_read_back(name: str, version: Any, tmp_path: Path) -> None:
    field = field_THW(version, MAP_GRID.shape)
    LAYOUTS[name](on_a_map(field)).to_zarr(tmp_path / "rain.zarr", zarr_format=version, consolidated=version == 2)
    series = open_series(tmp_path / "rain.zarr")
    np.testing.assert_allclose(series.fields_mmh(slice(0, 3)), field, atol=1e-3, rtol=1e-5)


def counted(units: str) -> Layout:
    """Times as plain numbers of a unit, so that its text is written as it stands."""
    numbers = ("time", [0.0, 10.0, 20.0], {"units": units, "standard_name": "time"})
    return lambda data: data.drop_vars("time").assign_coords(time=numbers)


REFUSED: dict[str, tuple[Layout, str]] = {
    "two members": (lambda data: data.assign({RAIN: data[RAIN].expand_dims(member=2)}), "expected the dimensions"),
    "degrees on a map": (axes_in("degrees", 1e5), "unit of the coordinate x: expected one that converts to m"),
    "unit 1 of an axis": (axes_in("1", 1), "unit of the coordinate x: expected one that converts to m"),
    "metres that are km": (axes_in("m", 1000), "expected cells of 50 m to 50 km"),
    "axis of another kind": (attributes("x", axis="Y"), "coordinate x: expected axis X of projection_x_coordinate"),
    "rain without a unit": (attributes(RAIN, units=""), "unit of rain: expected one of rain rate"),
    "rain in 1": (attributes(RAIN, units="1"), "unit of rain: expected one of rain rate"),
    "amount without interval": (unit("mm", 6, "rainfall_amount"), "expected the interval of this amount"),
    "zone by name": (clock("minutes since 2026-06-01 00:00 CET"), "units of time|does not open"),
    "days of models": (clock("days since 2026-01-01", calendar="noleap"), "calendar of time: expected standard"),
    "360 days": (clock("days since 2026-01-01", calendar="360_day"), "calendar of time: expected standard"),
    "float32 of 1970": (clock("days since 1970-01-01", "float32"), "single precision"),
    "year of two digits": (counted("minutes since 26-06-01 06:00"), "expected times from 1940 on, got 0026-06-01T06"),
    "two rates": (second_variable(), "expected one variable of rain, got"),
    "maximum alone": (attributes(RAIN, cell_methods="time: maximum"), "cell_methods of rain: expected a mean"),
    "hour alone in the epoch": (clock("minutes since 2026-06-01 6"), "units of time: expected"),
    "text as a scale": (text_as_scale, "scale_factor of rain: expected a number"),
    "mapping without its meridian": (
        projection("straight_vertical_longitude_from_pole"),
        "got none of straight_vertical_longitude_from_pole",
    ),
    "mapping without latitude of true scale": (
        projection("standard_parallel"),
        "got none of standard_parallel or",
    ),
    "meridian by the name of another mapping": (projection(**LAMBERT), "got none of longitude_of_central_meridian"),
    "grads from Paris": (projection_text("crs_wkt", CRS.from_epsg(27572).to_wkt()), "expected degrees from Greenwich"),
    "oblique mercator without its angle": (
        projection(
            grid_mapping_name="oblique_mercator",
            azimuth_of_central_line=90.0,
            longitude_of_projection_origin=7.44,
            latitude_of_projection_origin=46.95,
            scale_factor_at_projection_origin=1.0,
        ),
        "parameters of oblique_mercator, got none of crs_wkt",
    ),
    "no time": (lambda data: data.isel(time=slice(0, 0)), "expected at least one field"),
    "NaN in x": (
        lambda data: data.assign_coords(x=np.where(np.arange(9) == 4, np.nan, data.x)),
        "expected equal steps",
    ),
    "2-D latitudes": (
        lambda data: (
            data.drop_vars(("x", "y"))
            .rename_dims(x="i", y="j")
            .assign_coords(lat=(("j", "i"), np.zeros((12, 9))), lon=(("j", "i"), np.zeros((12, 9))))
        ),
        "expected the dimensions",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings(
    "ignore:.*time zone.*", "ignore:.*imezone.*", "ignore::UserWarning", "ignore::RuntimeWarning"
)
def test_what_is_unknown_is_refused_by_name(name: str, tmp_path: Path) -> None:
    layout, message = REFUSED[name]
    data = layout(on_a_map(field_THW(1, MAP_GRID.shape)))
    try:
        data.to_netcdf(tmp_path / "rain.nc")
    except ValueError:
        data["time"] = ("time", [0.0, 10.0, 20.0], {"units": data["time"].encoding["units"]})
        data.to_netcdf(tmp_path / "rain.nc")
    with pytest.raises(FrameError, match=message):
        read_frames(tmp_path / "rain.nc")


@pytest.mark.parametrize(
    "reference",
    ["scalar", "per field", "coordinate", "another name", "period", "no standard name", "global", "global with a zone"],
)
def test_a_reference_time_counts_wherever_it_stands(reference: str, tmp_path: Path) -> None:
    data = on_a_map(field_THW(1, MAP_GRID.shape))
    at = np.datetime64("2026-06-01T23:30", "ns")
    named = {"standard_name": "forecast_reference_time"}
    leads = [20, 30, 40]
    if reference == "per field":
        data["forecast_reference_time"] = ("time", data["time"].values - np.timedelta64(20, "m"), named)
        leads = [20, 20, 20]
    elif reference == "period":
        data["lead"] = ("time", np.array(leads) / 60, {"standard_name": "forecast_period", "units": "hours"})
    elif reference == "no standard name":
        data["reference_time"] = ((), at)
    elif reference.startswith("global"):
        zone = "2026-06-02T01:30+02:00" if "zone" in reference else "2026-06-01T23:30:00"
        data.attrs["forecast_reference_time"] = zone
    elif reference == "coordinate":
        data = data.assign_coords(forecast_reference_time=((), at, named))
    else:
        data["analysis" if reference == "another name" else "forecast_reference_time"] = ((), at, named)
    data.to_netcdf(tmp_path / "rain.nc")
    assert [frame.lead_minutes for frame in read_frames(tmp_path / "rain.nc")] == leads


def test_a_global_reference_time_that_is_no_time_is_refused(tmp_path: Path) -> None:
    data = on_a_map(field_THW(1, MAP_GRID.shape)).assign_attrs(forecast_reference_time="latest")
    data.to_netcdf(tmp_path / "rain.nc")
    with pytest.raises(FrameError, match="global attribute forecast_reference_time: expected a time"):
        read_frames(tmp_path / "rain.nc")


def test_forecasts_along_their_periods_have_the_valid_times_of_another_coordinate(tmp_path: Path) -> None:
    field = field_THW(1, MAP_GRID.shape)
    data = on_a_map(field)
    valid_times = data["time"].values
    data = data.drop_vars("time").rename_dims(time="step")
    data = data.assign_coords(
        step=("step", [20, 30, 40], {"standard_name": "forecast_period", "units": "minutes"}),
        time=((), np.datetime64("2026-06-01T23:30", "ns"), {"standard_name": "forecast_reference_time"}),
        valid_time=("step", valid_times, {"standard_name": "time"}),
    )
    data.to_netcdf(tmp_path / "rain.nc")
    frames = read_frames(tmp_path / "rain.nc")
    assert [frame.valid_time for frame in frames] == times()
    assert [frame.lead_minutes for frame in frames] == [20, 30, 40]
    np.testing.assert_allclose(frames[2].rate_mmh_HW, field[2], rtol=1e-5)


def test_periods_without_valid_times_are_refused(tmp_path: Path) -> None:
    data = on_a_map(field_THW(1, MAP_GRID.shape)).drop_vars("time").rename_dims(time="step")
    data["step"] = ("step", [20, 30, 40], {"standard_name": "forecast_period", "units": "minutes"})
    data.to_netcdf(tmp_path / "rain.nc")
    with pytest.raises(FrameError, match="expected the dimensions"):
        read_frames(tmp_path / "rain.nc")
