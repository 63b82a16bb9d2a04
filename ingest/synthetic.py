"""Synthetic weather as RY files: `python -m ingest.synthetic --out DIR --start T --hours N [--seed S] [--odim]`.

A frame is a function of the seed and its time alone. Rain falls where the sum of random fields of several sizes and of
wavy fronts is high. Each field drifts with the wind and fades into the next one, the faster the smaller its structures;
so persistence fails, extrapolation is good for a while, and no method can forecast the growth of a small shower.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

import cv2
import numpy as np
import typer

from core.arrays import Float32Field
from core.errors import InputError
from core.files import write_bytes_atomically
from core.frame import RadarFrame
from core.grid import DE1200, RADOLAN_900
from core.times import iso, utc
from ingest.radar_sites import DWD_RADARS, coverage_HW
from ingest.windows.regrid import onto
from ingest.writers.odim_h5 import DWD_SOURCE, odim_bytes, odim_file_name
from ingest.writers.radolan import COUNT_MMH, INVENTED, ry_file_name, write_ry

__all__ = ["weather", "write_ry", "write_weather"]

Displacement = tuple[Float32Field, Float32Field]

CELL_KM: Final = 2.0
CELLS: Final = 512
"""The random fields repeat after 1,024 km, more than the 900 km of the composite."""


@dataclass(frozen=True)
class Layer:
    """Random structures of one size.

    Attributes:
        size_km: the wavelength with the most power.
        lifetime_h: time in which a field fades completely into the next one.
        amplitude: standard deviation; if `cellular`, it varies from region to region.
        cellular: whether the structures are showers instead of widespread rain.
    """

    size_km: float
    lifetime_h: float
    amplitude: float
    cellular: bool = False


LAYERS: Final = (
    Layer(480.0, 10.0, 0.65),
    Layer(240.0, 6.0, 0.60),
    Layer(120.0, 4.0, 0.46),
    Layer(60.0, 2.5, 0.33, cellular=True),
    Layer(30.0, 1.3, 0.25, cellular=True),
    Layer(14.0, 0.7, 0.17, cellular=True),
    Layer(7.0, 0.35, 0.10, cellular=True),
)
SHOWERINESS: Final = Layer(320.0, 8.0, 0.5)
"""Logarithm of the showers' amplitude relative to the rain around them, which varies from region to region."""

STRETCH: Final = 1.7
"""Ratio of the structures' length along the fronts to their width."""

FRONT_SPACING_KM: Final = 850.0
FRONT_WIDTH_KM: Final = 45.0
FRONT_WAVES_KM: Final = 60.0
RAIN_ABOVE: Final = 0.8
"""Value of the summed fields above which it rains."""

RATE_MMH: Final = 2.7
"""The rate where the sum exceeds `RAIN_ABOVE` by one; it grows with the square of the excess."""


@dataclass(frozen=True)
class Wind:
    """Steady steering wind of a seed, with a slow oscillation and a shear across the country."""

    east_kmh: float
    north_kmh: float
    swing_km: float
    shear: float
    front_angle: float
    phase: float

    @classmethod
    def of(cls, seed: int) -> "Wind":
        """Return a wind from between south and north-west, of 30 to 50 km/h."""
        rng = np.random.default_rng((seed, 0))
        speed_kmh, towards = rng.uniform(30, 50), np.radians(rng.uniform(-40, 70))
        return cls(
            speed_kmh * np.cos(towards),
            speed_kmh * np.sin(towards),
            swing_km=rng.uniform(20, 40),
            shear=rng.uniform(-0.25, 0.25),
            front_angle=towards + rng.uniform(-0.5, 0.5),
            phase=rng.uniform(0, 2 * np.pi),
        )

    def travelled_km(self, hours: float) -> tuple[float, float]:
        """Return the distance that air has moved since the epoch, to the east and to the north."""
        swing = self.phase + 2 * np.pi * hours / 15.0
        return (
            self.east_kmh * hours + self.swing_km * float(np.sin(swing)),
            self.north_kmh * hours + self.swing_km * float(np.cos(swing)),
        )

    def moved_km(self, since_h: float, hours: float) -> Displacement:
        """Return the displacement of the cells' air over a short time, to the east and to the south, (H, W)."""
        east, north = np.subtract(self.travelled_km(hours), self.travelled_km(since_h))
        south_HW, east_HW = np.meshgrid(*(np.linspace(-1, 1, _field_cells(), dtype=np.float32),) * 2, indexing="ij")
        faster_HW = 1 + self.shear * south_HW
        return np.float32(east) * faster_HW, np.float32(-north) * (1 - self.shear * east_HW)


def weather(
    start: datetime, hours: float, seed: int = 0, step_minutes: int = 5, *, radars: Sequence[str] = tuple(DWD_RADARS)
) -> Iterator[RadarFrame]:
    """Yield synthetic RY frames from `start` to `start + hours`, both ends included, in counts of 0.12 mm/h.

    Args:
        start: aware time; the frame of a time does not depend on it.
        hours: length of the sequence.
        seed: selects the weather.
        step_minutes: time between two frames.
        radars: the sites that work; cells outside their range are NaN.

    Raises:
        InputError: negative hours or seed, a step that is not positive, or an unknown site.
    """
    unknown = sorted(set(radars) - set(DWD_RADARS))
    if unknown or hours < 0 or step_minutes < 1 or seed < 0:
        raise InputError(
            f"expected hours and seed of 0 or more, step_minutes of 1 or more and radars among "
            f"{', '.join(DWD_RADARS)}; got hours={hours}, seed={seed}, step_minutes={step_minutes} and the unknown "
            f"radars {unknown}"
        )
    covered_HW = coverage_HW(RADOLAN_900, tuple(radars))
    missing = tuple(site for site in DWD_RADARS if site not in radars)
    for index in range(int(round(hours * 60, 6) // step_minutes) + 1):
        valid_time = utc(start) + timedelta(minutes=step_minutes * index)
        rate_mmh_HW = np.where(covered_HW, invented_rate_mmh_HW(seed, valid_time), np.float32(np.nan))
        yield RadarFrame(valid_time, RADOLAN_900, rate_mmh_HW, "RY", missing_radars=missing)


def invented_rate_mmh_HW(seed: int, valid_time: datetime) -> Float32Field:
    """Return the rate of every cell of the 900 x 900 grid, in whole counts of RY."""
    hours = (valid_time - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds() / 3600
    wind = Wind.of(seed)
    fields = [layer.amplitude * _field(seed, index, layer, wind, hours) for index, layer in enumerate(LAYERS, start=1)]
    showers_HW = np.exp(SHOWERINESS.amplitude * _field(seed, 99, SHOWERINESS, wind, hours))
    sum_HW = sum(
        (field * showers_HW if layer.cellular else field for field, layer in zip(fields, LAYERS, strict=True)),
        start=_fronts(seed, wind, hours, fields[1] + fields[2]),
    )
    sum_HW = cv2.resize(sum_HW, RADOLAN_900.shape[::-1], interpolation=cv2.INTER_CUBIC)
    rate_mmh_HW = RATE_MMH * np.maximum(sum_HW - np.float32(RAIN_ABOVE), 0) ** 2
    return np.asarray(np.rint(rate_mmh_HW / COUNT_MMH) * COUNT_MMH, np.float32)


def _field(seed: int, stream: int, layer: Layer, wind: Wind, hours: float) -> Float32Field:
    """Return a layer's field of unit variance at a time: two fields next in time, moved by the wind and blended."""
    epoch, passed = divmod(hours / layer.lifetime_h + 0.37 * stream, 1.0)
    row_HW, col_HW = _cell_numbers()
    mixed_HW = np.zeros(row_HW.shape, np.float32)
    for number, weight in ((epoch, np.cos(passed * np.pi / 2)), (epoch + 1, np.sin(passed * np.pi / 2))):
        east_HW, south_HW = wind.moved_km((number - 0.37 * stream) * layer.lifetime_h, hours)
        noise = _noise(seed, stream, int(number) % 2**32, layer.size_km, wind.front_angle)
        from_col_HW, from_row_HW = (col_HW - east_HW / CELL_KM) % CELLS, (row_HW - south_HW / CELL_KM) % CELLS
        moved = cv2.remap(noise, from_col_HW, from_row_HW, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
        mixed_HW += np.float32(weight) * moved
    return mixed_HW


@lru_cache(maxsize=32)
def _noise(seed: int, stream: int, number: int, size_km: float, angle: float) -> Float32Field:
    """Return a periodic Gaussian field of unit variance, most power at one wavelength, elongated across `angle`."""
    white = np.random.default_rng((seed, stream, number)).standard_normal((CELLS, CELLS), dtype=np.float32)
    south_per_km, east_per_km = np.fft.fftfreq(CELLS, CELL_KM)[:, None], np.fft.rfftfreq(CELLS, CELL_KM)[None]
    across_per_km = east_per_km * np.cos(angle) - south_per_km * np.sin(angle)
    along_per_km = east_per_km * np.sin(angle) + south_per_km * np.cos(angle)
    per_km = np.maximum(np.hypot(across_per_km, along_per_km * STRETCH), 1e-6)
    spectrum = np.exp(-(np.log2(per_km * size_km) ** 2)) / per_km
    field = np.fft.irfft2(np.fft.rfft2(white) * spectrum, s=white.shape)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def _fronts(seed: int, wind: Wind, hours: float, waves_HW: Float32Field) -> Float32Field:
    """Return bands across the wind, one behind the other, each with its own strength; between them it is drier."""
    east_km, north_km = wind.travelled_km(hours)
    ahead_east, ahead_north = np.cos(wind.front_angle), np.sin(wind.front_angle)
    row_HW, col_HW = _cell_numbers()
    ahead_km_HW = (col_HW * ahead_east - row_HW * ahead_north) * CELL_KM + FRONT_WAVES_KM * waves_HW
    behind_HW = (east_km * ahead_east + north_km * ahead_north - ahead_km_HW) / FRONT_SPACING_KM
    front_HW = np.rint(behind_HW)
    off_HW = (behind_HW - front_HW) * (FRONT_SPACING_KM / FRONT_WIDTH_KM)
    band_HW = np.exp(-(off_HW**2)) - 0.4 * np.exp(-((off_HW / 4) ** 2))
    first, last = int(front_HW.min()), int(front_HW.max())
    strengths = [np.random.default_rng((seed, 51, n % 2**32)).uniform(0.8, 2.2) for n in range(first, last + 1)]
    return np.asarray(np.array(strengths)[(front_HW - first).astype(np.intp)] * band_HW, np.float32)


def _field_cells() -> int:
    return int(RADOLAN_900.width * RADOLAN_900.pixel_m / 1000 / CELL_KM)


@lru_cache(maxsize=1)
def _cell_numbers() -> Displacement:
    """Return row and column of every cell of the internal grid, (H, W)."""
    numbers = np.arange(_field_cells(), dtype=np.float32)
    row_HW, col_HW = np.meshgrid(numbers, numbers, indexing="ij")
    return row_HW, col_HW


def write_weather(
    out: str | Path, start: datetime, hours: float, seed: int = 0, step_minutes: int = 5, *, odim: bool = False
) -> list[Path]:
    """Write synthetic weather into a folder under DWD's file names; each file is written atomically.

    Args:
        out: the folder, created if it does not exist.
        start: as `weather`.
        hours: as `weather`.
        seed: as `weather`.
        step_minutes: as `weather`.
        odim: ODIM HDF5 on DWD's grid of 1200 x 1100 cells, as since 2025, instead of RADOLAN binary.
    """
    out = Path(out)
    paths = []
    for frame in weather(start, hours, seed, step_minutes):
        paths.append(out / (odim_file_name(frame) if odim else ry_file_name(frame.valid_time)))
        if odim:
            content = odim_bytes([on_de1200(frame)], quantum_mmh=COUNT_MMH, source=DWD_SOURCE)
            write_bytes_atomically(paths[-1], content)
        else:
            write_ry(paths[-1], frame.rate_mmh_HW, frame.valid_time, software=INVENTED)
    return paths


def on_de1200(frame: RadarFrame) -> RadarFrame:
    """Return the frame resampled to the grid of DWD's HDF5 composites; not observed outside of its own grid."""
    rate_mmh_HW = onto(frame.rate_mmh_HW[np.newaxis], frame.grid, DE1200)[0]
    rate_mmh_HW = np.asarray(np.rint(rate_mmh_HW / COUNT_MMH) * COUNT_MMH, np.float32)
    return replace(frame, grid=DE1200, rate_mmh_HW=rate_mmh_HW)


def main(
    out: Annotated[Path, typer.Option(help="folder for the files", file_okay=False)],
    start: Annotated[str, typer.Option(help="time of the first file, ISO 8601, UTC where it names no zone")],
    hours: Annotated[float, typer.Option(min=0, help="length; a file every 5 minutes, both ends included")],
    seed: Annotated[int, typer.Option(min=0, help="each is other weather")] = 0,
    odim: Annotated[bool, typer.Option("--odim", help="ODIM HDF5 on 1200 x 1100 cells instead of RADOLAN")] = False,
) -> None:
    """Write RY files of synthetic weather."""
    try:
        first = utc(start)
    except ValueError as err:
        raise typer.BadParameter(
            f"expected a time like 2026-06-01T12:00Z, got {start!r}", param_hint="--start"
        ) from err
    try:
        paths = write_weather(out, first, hours, seed, odim=odim)
    except InputError as err:
        raise typer.BadParameter(str(err)) from err
    typer.echo(f"{len(paths)} files from {iso(first)} in {out}")


if __name__ == "__main__":
    typer.run(main)
