"""MeteoNet: rain of 5 minutes over the north-west or the south-east of France (Météo-France, 2016 to 2018)."""

import pickle
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from core.arrays import Float32Field
from core.cells import cell_edges_m
from core.errors import ConfigError, FrameError
from core.files import write_atomically
from core.grid import Grid
from core.units import rate_from_depth
from training.datasets.base import DATASETS
from training.datasets.field_cache import cache_folder
from training.datasets.germany import Day, Germany, GermanyOptions
from training.datasets.radar_series import RadarSeries, digest_of

MINUTES: Final = 5
EXPECTED: Final = (
    "expected files of MeteoNet like rainfall_NW_2016_01.1.npz and next to or above them radar_coords_NW.npz, by "
    "--data FOLDER or in ./data/meteonet"
)
BUFFER_BYTES: Final = 2**20
UNREADABLE: Final = (
    *(FrameError, OSError, KeyError, ValueError, EOFError),
    *(zipfile.BadZipFile, zlib.error, pickle.UnpicklingError),
)


class MeteoNetOptions(GermanyOptions):
    """Options of `germany` with MeteoNet's grid, cadence and years."""

    height: int = Field(565, ge=1, description="rows of a whole field")
    width: int = Field(784, ge=1, description="columns of a whole field")
    cadence_minutes: int = Field(MINUTES, ge=1, description="between two fields")
    test_from: Day = Field("2018-01-01", description="first day of the test set; None: every window may be tested")
    pixel_m: float = Field(1000.0, gt=0, description="cell size of a cut at cadence_minutes")


@dataclass
class MeteoNetFields:
    """The fields of one file, memory-mapped: hundredths of a millimetre in 5 minutes, -1 not observed."""

    depth_THW: NDArray[Any]
    south_first: bool
    time_chunk: int = 1

    def read(self, which: slice) -> Float32Field:
        """Return fields in mm/h, row 0 in the north, NaN where not observed."""
        depth_THW = np.asarray(self.depth_THW[which], np.float32)
        rate_mmh_THW = np.where(depth_THW < 0, np.float32(np.nan), rate_from_depth(depth_THW / 100, MINUTES))
        return np.asarray(rate_mmh_THW[:, ::-1] if self.south_first else rate_mmh_THW, np.float32)


@DATASETS.register("meteonet")
class MeteoNet(Germany):
    """Windows of MeteoNet's rain, divided and cut as those of `germany`: 2016 and 2017 for training, 2018 for the test.

    The fields of a file are unpacked into the cache once. Files that continue each other give windows over their edge.
    """

    options_class: ClassVar[type[BaseModel]] = MeteoNetOptions

    def _find(self, data: Path | None) -> list[RadarSeries]:
        files = [] if data is None or not data.is_dir() else sorted(data.rglob("rainfall_*.npz"))
        files = [path for path in files if "quality" not in path.name]
        if data is None or not files:
            raise ConfigError(f"no file of MeteoNet in {data or 'data/meteonet'}: {EXPECTED}")
        cache = cache_folder(self.options.cache, data)
        try:
            series = [_series(path, data, cache) for path in files]
        except UNREADABLE as err:
            raise ConfigError(f"{data}: {' '.join(str(err).split())}; {EXPECTED}") from err
        return sorted(series, key=lambda one: int(one.minutes[0]))

    @classmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write two files that continue each other over New Year 2018, and the coordinates of their cells."""
        y, x = np.mgrid[:20, :24]
        begin = datetime(2017, 12, 31, 20, tzinfo=UTC).replace(tzinfo=None)
        for name, numbers in (("rainfall_NW_2017_12.3", range(48)), ("rainfall_NW_2018_01.1", range(48, 90))):
            depth = [90 * np.exp(-((x - k / 5) ** 2 + (y - 10) ** 2) / 30) for k in numbers]
            dates = np.array([begin + timedelta(minutes=MINUTES * k) for k in numbers], dtype=object)
            path = folder / f"{name}.npz"
            np.savez_compressed(path, data=np.array(depth, np.int16), dates=dates, miss_dates=np.array([], object))
        lats, lons = 51.9 - 0.01 * y, -5.8 + 0.01 * x
        np.savez(folder / "radar_coords_NW.npz", lats=lats, lons=lons)
        return {"height": 10, "width": 12}


def _series(path: Path, data: Path, cache: Path) -> RadarSeries:
    """Open one file.

    Raises:
        FrameError: dates and fields do not belong together.
    """
    grid, south_first = _cells(path.name.split("_")[1], path, data)
    with zipfile.ZipFile(path) as archive, archive.open("dates.npy") as member:
        dates = read_dates(member)
    depth_THW = _unpacked(path, cache)
    if depth_THW.shape != (len(dates), *grid.shape):
        expected = (len(dates), *grid.shape)
        raise FrameError(f"{path.name}: expected data {expected} of its dates and coordinates, got {depth_THW.shape}")
    minutes = np.array([round(date.replace(tzinfo=UTC).timestamp() / 60) for date in dates], np.int64)
    fields = MeteoNetFields(depth_THW, south_first)
    return RadarSeries(path, minutes, cell_edges_m(grid), grid.shape, fields, grid, digest=digest_of(path) or "")


def _cells(zone: str, path: Path, data: Path) -> tuple[Grid, bool]:
    """Return the grid of a zone, and whether the first row of its fields is in the south."""
    name = f"radar_coords_{zone}.npz"
    found = sorted(data.rglob(name)) or [one for one in (path.parent / name, data.parent / name) if one.is_file()]
    if not found:
        raise FrameError(f"{path.name}: expected the coordinates of its cells in {name}, got no such file")
    with np.load(found[0], allow_pickle=False) as coordinates:
        lats_HW, lons_HW = np.asarray(coordinates["lats"]), np.asarray(coordinates["lons"])
    step_y, step_x = (abs(float(np.diff(values, axis=axis).mean())) for values, axis in ((lats_HW, 0), (lons_HW, 1)))
    west, north = float(lons_HW.min()) - step_x / 2, float(lats_HW.max()) + step_y / 2
    height, width = lats_HW.shape
    grid = Grid("EPSG:4326", west, north, step_x, step_y, height, width, f"MeteoNet {zone}")
    return grid, bool(lats_HW[0, 0] < lats_HW[-1, 0])


def _unpacked(path: Path, cache: Path) -> NDArray[Any]:
    """Return the fields of a file, memory-mapped from the cache, into which they are unpacked at the first call."""
    about = path.stat()
    target = cache / "unpacked" / f"{path.stem}-{about.st_size}-{about.st_mtime_ns}.npy"
    if not target.is_file():
        with zipfile.ZipFile(path) as archive, archive.open("data.npy") as member:
            write_atomically(target, lambda temporary: _copy(member, temporary))
    return np.asarray(np.load(target, mmap_mode="r"))


def _copy(member: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(member, file, BUFFER_BYTES)


class DatesUnpickler(pickle.Unpickler):
    """Reads an array of times and nothing else: a file of data must not be able to run anything."""

    ALLOWED: ClassVar[frozenset[tuple[str, str]]] = frozenset(
        {("datetime", "datetime"), ("numpy", "ndarray"), ("numpy", "dtype")}
        | {(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")}
        | {("_codecs", "encode")}
    )

    def find_class(self, module: str, name: str) -> Any:
        """Return a class that an array of times is made of.

        Raises:
            UnpicklingError: any other name.
        """
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"dates.npy: expected times, got {module}.{name}")
        return super().find_class(module, name)


def read_dates(member: IO[bytes]) -> list[datetime]:
    """Return the times of an object array of `datetime`, as `numpy.savez` writes it.

    Raises:
        UnpicklingError: anything else in the file.
        ValueError: not a file of NumPy.
    """
    version = np.lib.format.read_magic(member)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read_header(member)
    dates = DatesUnpickler(member).load() if dtype.hasobject else []
    if not len(dates) or not all(isinstance(date, datetime) for date in dates):
        raise pickle.UnpicklingError("dates.npy: expected an array of datetime objects")
    return list(dates)
