"""HKO-7: radar reflectivity over Hong Kong every 6 minutes on 480 x 480 cells (Shi et al. 2017), from its PNG files."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

import cv2
import numpy as np
from pydantic import BaseModel, Field

from core.arrays import Float32Field
from core.errors import ConfigError, FrameError
from core.units import HKO_ZR, PIXEL_LOWER_DBZ, PIXEL_UPPER_DBZ
from training.datasets.base import DATASETS
from training.datasets.germany import Day, Germany, GermanyOptions
from training.datasets.radar_series import RadarSeries

EDGE_M: Final = 512_000 / 480
"""Edge of a cell: a square of 512 km on 480 cells."""
NAME: Final = re.compile(r"RAD(\d{10})00\.png")
EXPECTED: Final = (
    "expected the folder radarPNG of HKO-7 with files like 2015/05/20/RAD150520143600.png, by --data FOLDER or in "
    "./data/hko7"
)


class HKO7Options(GermanyOptions):
    """Options of `germany` with HKO-7's grid, cadence and years."""

    height: int = Field(480, ge=1, description="rows of a whole field")
    width: int = Field(480, ge=1, description="columns of a whole field")
    cadence_minutes: int = Field(6, ge=1, description="between two fields")
    test_from: Day = Field("2015-01-01", description="first day of the test set; None: every window may be tested")
    pixel_m: float = Field(EDGE_M, gt=0, description="cell size of a cut at cadence_minutes")


@dataclass
class HKO7Fields:
    """The pictures of a folder in the order of time."""

    paths: list[Path]
    time_chunk: int = 1

    def read(self, which: slice) -> Float32Field:
        """Return fields in mm/h, row 0 in the north; a pixel of 0 is dry.

        Raises:
            FrameError: a file that is no grey picture.
        """
        return np.stack([read_picture(path) for path in self.paths[which]])


def read_picture(path: Path) -> Float32Field:
    """Return the rain rate of one picture: 0 to 255 are -10 to 60 dBZ, with the relation of Hong Kong's observatory.

    Raises:
        FrameError: OpenCV cannot decode it.
    """
    pixels_HW = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels_HW is None:
        raise FrameError(f"{path.name}: expected a PNG of HKO-7, got {path.stat().st_size} bytes that are none")
    dbz_HW = PIXEL_LOWER_DBZ + (PIXEL_UPPER_DBZ - PIXEL_LOWER_DBZ) * pixels_HW.astype(np.float32) / 255
    return np.where(pixels_HW == 0, np.float32(0), HKO_ZR.rate_mmh(dbz_HW)).astype(np.float32)


@DATASETS.register("hko7")
class HKO7(Germany):
    """Windows of HKO-7, divided and cut as those of `germany`: to 2014 for training, 2015 for the test.

    Times of the names are taken as UTC. Files of masks are not read: clutter stays in the fields.
    """

    options_class: ClassVar[type[BaseModel]] = HKO7Options

    def _find(self, data: Path | None) -> list[RadarSeries]:
        files = {} if data is None or not data.is_dir() else dict(sorted(map(_dated, _pictures(data))))
        if data is None or not files:
            raise ConfigError(f"no picture of HKO-7 in {data or 'data/hko7'}: {EXPECTED}")
        paths = list(files.values())
        minutes = np.array([round(time.timestamp() / 60) for time in files], np.int64)
        shape = read_picture(paths[0]).shape
        about = "".join(f"{path.name} {path.stat().st_size}\n" for path in paths)
        digest = hashlib.sha256(about.encode()).hexdigest()
        edge_m = EDGE_M * 480 / shape[0]
        return [RadarSeries(data, minutes, (edge_m, edge_m), shape, HKO7Fields(paths), digest=digest)]

    @classmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write pictures of a shower that drifts east, the last hours of 2014 and the first ones of 2015."""
        y, x = np.mgrid[:24, :24]
        for number in range(70):
            time = datetime(2014, 12, 31, 20, tzinfo=UTC) + timedelta(minutes=6 * number)
            pixels_HW = 170 * np.exp(-((x - number / 4) ** 2 + (y - 12) ** 2) / 30)
            path = folder / f"{time:%Y/%m/%d}" / f"RAD{time:%y%m%d%H%M}00.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels_HW.astype(np.uint8))
        return {"height": 12, "width": 12}


def _pictures(data: Path) -> list[Path]:
    return [path for path in data.rglob("RAD*.png") if NAME.fullmatch(path.name)]


def _dated(path: Path) -> tuple[datetime, Path]:
    return datetime.strptime(path.name[3:13], "%y%m%d%H%M").replace(tzinfo=UTC), path
