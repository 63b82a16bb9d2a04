"""The fields of recently requested forecasts, packed in memory: the response for a place opens no file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.errors import NoDataError
from core.shared_files import is_there
from service.forecasts.held import HeldContents
from service.forecasts.packing import Packed, packed_rate, unpacked_rate
from service.forecasts.probabilities import read_packed_probabilities
from service.forecasts.products import read_known, read_usual_coverage
from service.forecasts.records import StoredForecast, read_rate

Key = tuple[Path, int, int, int]
Cells = tuple[slice, slice]

HELD_BYTES: Final = 640 * 2**20
"""Most memory of all held fields: two forecasts of 900 x 900 cells, 30 leads, eight thresholds."""


@dataclass(frozen=True)
class CellSeries:
    """A forecast in one grid cell; NaN is no data.

    Attributes:
        rate_mmh_L: by lead.
        known_L: where it rests on an observation; None from files that do not hold it.
        probability_KL: by threshold and lead; no rows without probabilities.
        observed_mmh: the newest scan; NaN where it has none, or where the inputs are not kept.
        usual: whether a radar observed the cell in the window or in an earlier one.
    """

    rate_mmh_L: NDArray[np.float32]
    known_L: NDArray[np.bool_] | None
    probability_KL: NDArray[np.float32]
    observed_mmh: float
    usual: bool


@dataclass(frozen=True, eq=False)
class Fields:
    """Contents of the files of a forecast, packed; NaN is no data.

    Attributes:
        rate: of the forecast in mm/h, by lead.
        analysis_mmh_HW: the newest input, at the reference time; None where the inputs are not kept.
        usual_HW: cells that a radar observed in the window or in an earlier one.
        known_bits: where the forecast rests on an observation, eight leads in a byte; None from files without it.
        probabilities: by threshold, each by lead; empty without probabilities.
        thresholds_mmh: one for each.
    """

    rate: Packed
    analysis_mmh_HW: Float32Field | None
    usual_HW: BoolField
    known_bits: NDArray[np.uint8] | None = None
    probabilities: tuple[Packed, ...] = ()
    thresholds_mmh: tuple[float, ...] = ()

    @property
    def leads(self) -> int:
        """Return the number of leads."""
        return self.rate.shape[0]

    def rate_mmh_HW(self, lead: int) -> Float32Field:
        """Return the rate of one lead, by its index."""
        return self.rate[lead]

    def known_HW(self, lead: int) -> BoolField | None:
        """Return where one lead, by its index, rests on an observation."""
        if self.known_bits is None:
            return None
        return np.asarray((self.known_bits[lead // 8] >> (7 - lead % 8)) & 1, np.bool_)

    def probability_HW(self, lead: int, threshold: int) -> Float32Field:
        """Return the exceedance probability of one lead and threshold, both by their index."""
        return self.probabilities[threshold][lead]

    def at(self, row: int, col: int) -> CellSeries:
        """Return all leads of one grid cell."""
        known_L = None if self.known_bits is None else self._known(self.known_bits[:, row, col])
        probability_KL = np.array([one[:, row, col] for one in self.probabilities], np.float32)
        analysis = self.analysis_mmh_HW
        return CellSeries(
            self.rate[:, row, col],
            known_L,
            probability_KL.reshape(len(self.probabilities), self.leads),
            float("nan") if analysis is None else float(analysis[row, col]),
            bool(self.usual_HW[row, col]),
        )

    def block(self, cells: Cells) -> "Fields":
        """Return the fields of a block of cells, without a copy."""
        every = (slice(None), *cells)
        return replace(
            self,
            rate=self.rate.part(every),
            analysis_mmh_HW=None if self.analysis_mmh_HW is None else self.analysis_mmh_HW[cells],
            usual_HW=self.usual_HW[cells],
            known_bits=None if self.known_bits is None else self.known_bits[every],
            probabilities=tuple(one.part(every) for one in self.probabilities),
        )

    @property
    def rate_mmh_THW(self) -> Float32Field:
        """Return the rate of all leads; of a large grid read one lead after the other, or a block."""
        return self.rate[...]

    @property
    def known_THW(self) -> BoolField | None:
        """Return where the leads rest on an observation; None from files that do not hold it."""
        return None if self.known_bits is None else self._known(self.known_bits)

    @property
    def probability_NTHW(self) -> Float32Field:
        """Return the probabilities by threshold and lead; of a large grid read one lead after the other, or a block.

        Raises:
            NoDataError: there are none.
        """
        if not self.probabilities:
            raise NoDataError("this forecast has no probabilities")
        return np.stack([one[...] for one in self.probabilities])

    def _known(self, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.unpackbits(bits, axis=0, count=self.leads).view(np.bool_)

    @property
    def nbytes(self) -> int:
        """Return the memory of the arrays in bytes."""
        arrays = (self.analysis_mmh_HW, self.usual_HW, self.known_bits)
        parts = (self.rate, *self.probabilities, *(array for array in arrays if array is not None))
        return sum(part.nbytes for part in parts)


class FieldCache:
    """The most recently read fields of forecasts, up to a number of bytes; a replaced file is read again."""

    def __init__(self, most_bytes: int = HELD_BYTES) -> None:
        self._fields: HeldContents[Key, Fields] = HeldContents(most_bytes, lambda fields: fields.nbytes)

    def held(self, forecast: StoredForecast) -> Fields | None:
        """Return the fields if they are in memory, without opening a file."""
        try:
            return self._fields.find(_key(forecast))
        except OSError:
            return None

    def read(self, forecast: StoredForecast) -> Fields:
        """Return the fields, read from the file at the first call; other calls wait for it and take the same.

        Raises:
            NoDataError: the forecast's file is missing.
        """
        try:
            is_there(forecast.path)
            return self._fields.read(_key(forecast), lambda: _read(forecast))
        except OSError as err:
            raise NoDataError(f"the file of forecast {forecast.id} is not readable: {err}") from err


def _key(forecast: StoredForecast) -> Key:
    found = forecast.path.stat()
    return forecast.path, found.st_mtime_ns, found.st_ino, found.st_size


def _read(forecast: StoredForecast) -> Fields:
    analysis_mmh_HW = read_rate(forecast.inputs_path, [-1])[0].copy() if forecast.has_inputs else None
    usual_HW, known_LHW = read_usual_coverage(forecast), read_known(forecast.path)
    thresholds_mmh, probabilities = read_packed_probabilities(forecast.path) or ((), [])
    for array in (analysis_mmh_HW, usual_HW):
        if array is not None:
            array.setflags(write=False)  # shared by all answers
    return Fields(
        _read_rate(forecast.path, len(forecast.lead_minutes)),
        analysis_mmh_HW,
        usual_HW,
        None if known_LHW is None else np.packbits(known_LHW, axis=0),
        tuple(probabilities),
        thresholds_mmh,
    )


def _read_rate(path: Path, leads: int) -> Packed:
    """Read the rates lead by lead; those of older files are held as they are."""
    codes = []
    for lead in range(leads):
        codes_HW = packed_rate(read_rate(path, [lead])[0])
        if codes_HW is None:
            return Packed(read_rate(path))
        codes.append(codes_HW)
    return unpacked_rate(np.stack(codes))


FIELDS: Final = FieldCache()
"""Cache of the fields of this process."""


def held(forecast: StoredForecast) -> bool:
    """Return whether all that the response for a place needs is in memory."""
    return FIELDS.held(forecast) is not None
