"""A forecast's file in the programs of others: CF's checker, CDO, GDAL, QGIS, rasterio and xarray, at the same places.

Packages of PyPI come into an environment of their own. `make interoperability` unpacks CDO, GDAL and QGIS of Debian;
without a program its test is skipped. docs/results/interoperability.md has the versions that it ran with.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

from service.forecasts.exports import exported
from service.forecasts.member_maker import make_members
from service.forecasts.records import StoredForecast
from tests.environments import python_with
from tests.service.api_support import CHANCES_MMH, GRID, as_stored, chance_of, fill, service_at

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).with_name("foreign_readers.py")
REQUIREMENTS = Path(__file__).with_name("readers.txt")
LEAD = 1
PLACES = 60
CHANCE = "exceedance_probability_0p5"
OF_THE_CHECKER = (
    r"Conventions global attribute does not contain",  # the file declares one version of CF, and is read by all
    r"(probability|amount)_\w+ and scale_factor|not of type byte, short, or int",
    r"(probability|amount|member)_\w+ failed because the datatype is uint(8|16)",  # CF has unsigned types since 1.9
)
"""What it finds in a file of CF 1.13 as one of another version."""

VERSIONS = ("1.6", "1.7", "1.8", "1.9", "1.10", "1.11", "1.12", "1.13")


@pytest.fixture(scope="module")
def forecast(tmp_path_factory: pytest.TempPathFactory) -> StoredForecast:
    service = service_at(tmp_path_factory.mktemp("home"))
    fill(service)
    return service.forecast_stored()


@pytest.fixture(scope="module")
def cells() -> list[tuple[int, int]]:
    """Places anywhere on the grid, most of them where there is rain or no data."""
    random = np.random.default_rng(23)
    anywhere = random.integers(0, GRID.shape, (PLACES // 3, 2))
    in_rain = random.integers((30, 15), (50, 40), (PLACES // 3, 2))
    at_gap = random.integers(0, 12, (PLACES - 2 * (PLACES // 3), 2))
    return [(int(row), int(col)) for row, col in np.concatenate([anywhere, in_rain, at_gap])]


def run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expected(forecast: StoredForecast, cells: list[tuple[int, int]], name: str) -> np.ndarray:
    field_HW = forecast.rate_mmh_THW[LEAD]
    if name == CHANCE:
        field_HW = as_stored(chance_of(forecast.rate_mmh_THW, CHANCES_MMH[1]))[LEAD]
    return np.array([field_HW[cell] for cell in cells])


def by_xarray(path: Path, name: str, cells: list[tuple[int, int]]) -> list[float]:
    with xr.open_dataset(path, decode_timedelta=False) as dataset:
        field = dataset[name].isel(time=LEAD)
        return [
            float(field.sel(x=GRID.x_centres_m[col], y=GRID.y_centres_m[row], method="nearest")) for row, col in cells
        ]


def by_rioxarray(path: Path, name: str, cells: list[tuple[int, int]]) -> list[float]:
    return asked(str(python_with(REQUIREMENTS)), "rioxarray", path, name, cells)


def by_qgis(path: Path, name: str, cells: list[tuple[int, int]]) -> list[float]:
    """By longitude and latitude: QGIS finds the projection of the layer itself."""
    return asked("qgis-python", "qgis", path, name, cells)


def asked(python: str, reader: str, path: Path, name: str, cells: list[tuple[int, int]]) -> list[float]:
    """The values that a program of another Python finds, by `foreign_readers.py`."""
    lon_HW, lat_HW = GRID.lon_lat_HW()
    places = [
        (GRID.x_centres_m[col], GRID.y_centres_m[row], float(lon_HW[row, col]), float(lat_HW[row, col]))
        for row, col in cells
    ]
    text = run(python, str(SCRIPT), reader, str(path), name, str(LEAD), json.dumps(places))
    return [float("nan") if value is None else float(value) for value in json.loads(text.splitlines()[-1])]


def by_rasterio(path: Path, name: str, cells: list[tuple[int, int]]) -> list[float]:
    with rasterio.open(f"netcdf:{path}:{name}") as raster:
        assert raster.crs is not None
        places = [(GRID.x_centres_m[col], GRID.y_centres_m[row]) for row, col in cells]
        values = [sample[LEAD] for sample in raster.sample(places, masked=True)]
        scale, offset = raster.scales[LEAD], raster.offsets[LEAD]
        return [float("nan") if np.ma.is_masked(value) else float(value) * scale + offset for value in values]


def by_gdal(path: Path, name: str, cells: list[tuple[int, int]]) -> list[float]:
    """By longitude and latitude: GDAL finds the projection itself."""
    lon_HW, lat_HW = GRID.lon_lat_HW()
    values = []
    for row, col in cells:
        place = (repr(float(lon_HW[row, col])), repr(float(lat_HW[row, col])))
        source = f"NETCDF:{path}:{name}"
        text = run("gdallocationinfo", "-wgs84", "-valonly", "-b", str(LEAD + 1), source, *place).strip()
        scale = 0.005 if name == CHANCE else 1.0
        values.append(float("nan") if text in ("", "nan", "255") else float(text) * scale)
    return values


def by_cdo(path: Path, name: str, cells: list[tuple[int, int]]) -> list[float]:
    """By the nearest cell of a longitude and latitude, by CDO's own reading of the projection."""
    lon_HW, lat_HW = GRID.lon_lat_HW()
    values = []
    for row, col in cells:
        at = f"lon={float(lon_HW[row, col])!r}/lat={float(lat_HW[row, col])!r}"
        options = f"-remapnn,{at}", f"-seltimestep,{LEAD + 1}", f"-selname,{name}"
        text = run("cdo", "-s", "outputf,%.8g", *options, str(path)).split()[0]
        values.append(float("nan") if text in ("nan", "255") else float(text))  # its missing values as stored
    return values


@pytest.mark.parametrize("name", ["rainfall_rate", CHANCE])
@pytest.mark.parametrize("read", [by_xarray, by_rioxarray, by_rasterio, by_gdal, by_cdo, by_qgis])
def test_sixty_places(forecast, cells, read: Callable[..., list[float]], name):
    found = np.array(read(forecast.path, name, cells))
    wanted = expected(forecast, cells, name)
    assert np.isnan(wanted).sum() >= 5
    assert (wanted > 0.1).sum() >= 5
    np.testing.assert_allclose(found, wanted, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_checker_of_cf_finds_nothing(forecast, version):
    checker = str(python_with(REQUIREMENTS).with_name("compliance-checker"))
    known = run(checker, "--list-tests")
    if not re.search(rf"cf:{re.escape(version)}\b", known):
        pytest.skip(f"this compliance-checker knows no CF {version}")
    exported(forecast, "nc", source=True)
    make_members(forecast, 5)
    paths = sorted(map(str, forecast.path.parent.glob("*.nc")))
    assert len(paths) >= 6, "the forecast, its baselines, inputs, members, and the scans' grid"
    command = [checker, "--test", f"cf:{version}", *paths]
    text = subprocess.run(command, capture_output=True, text=True).stdout
    assert "Compliance Checker Report" in text
    findings = [line.strip() for line in text.splitlines() if line.strip().startswith("* ")]
    assert [line for line in findings if not any(re.search(known, line) for known in OF_THE_CHECKER)] == []


def test_cdo_changes_the_grid(forecast, tmp_path):
    target = tmp_path / "remapped.nc"
    run("cdo", "-s", "remapbil,r720x360", str(forecast.path), str(target))
    with xr.open_dataset(target, decode_timedelta=False) as dataset:
        assert dataset.rainfall_rate.shape[1:] == (360, 720)
        assert float(dataset.rainfall_rate.max()) > 0.5


def test_gdal_reads_time_and_place(forecast):
    text = run("gdalinfo", f"NETCDF:{forecast.path}:rainfall_rate")
    assert "Stereographic" in text
    assert text.count("NETCDF_DIM_time=") == len(forecast.lead_minutes)
    tif = run("gdalinfo", str(exported(forecast, "tif")))
    assert "ATTRIBUTION=Radar product RY." in tif


def test_qgis_opens_the_geotiff(forecast, cells):
    found = np.array(asked("qgis-python", "qgis", exported(forecast, "tif"), "", cells))
    np.testing.assert_allclose(found, expected(forecast, cells, "rainfall_rate"), atol=1e-6, equal_nan=True)
