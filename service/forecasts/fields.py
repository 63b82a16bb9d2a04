"""The fields of recently requested forecasts, held in memory: the response for a place opens no file."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.errors import NoDataError
from service.forecasts.probabilities import Probabilities, read_probabilities
from service.forecasts.products import read_known, read_usual_coverage
from service.forecasts.records import StoredForecast, read_rate

Key = tuple[Path, int, int, int]

HELD_BYTES: Final = 96 * 2**20
"""Most memory of all held fields: about 300 forecasts of 124 x 124 cells, or four of 900 x 900."""

HELD_PROBABILITIES_BYTES: Final = 64 * 2**20
"""Most memory of all held probabilities: about 25 forecasts of 124 x 124 cells at eight thresholds."""


class Sized(Protocol):
    """An object whose memory can be counted, as a cache needs it."""

    @property
    def nbytes(self) -> int:
        """Return the memory in bytes."""


Held = TypeVar("Held", bound=Sized)


@dataclass(frozen=True)
class Fields:
    """Contents of the files of a forecast; NaN is no data.

    Attributes:
        rate_mmh_THW: the forecast.
        analysis_mmh_HW: the newest input, at the reference time; None where the inputs are not kept.
        usual_HW: cells that a radar observed in the window or in an earlier one.
        known_THW: where the forecast rests on an observation; None from files that do not hold it.
    """

    rate_mmh_THW: Float32Field
    analysis_mmh_HW: Float32Field | None
    usual_HW: BoolField
    known_THW: BoolField | None = None

    def known_HW(self, lead: int) -> BoolField | None:
        """Return where one lead, by its index, rests on an observation."""
        return None if self.known_THW is None else self.known_THW[lead]

    @property
    def nbytes(self) -> int:
        """Return the memory of the arrays in bytes."""
        return sum(array.nbytes for array in self.arrays)

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Return all arrays that are not None."""
        every = (self.rate_mmh_THW, self.analysis_mmh_HW, self.usual_HW, self.known_THW)
        return tuple(array for array in every if array is not None)


class FileCache(Generic[Held]):
    """The most recently read contents of forecasts' files, up to a number of bytes; a replaced file is read again."""

    def __init__(self, read: Callable[[StoredForecast], Held], most_bytes: int) -> None:
        self._read = read
        self._most_bytes = most_bytes
        self._held: OrderedDict[Key, Held] = OrderedDict()
        self._lock = threading.Lock()

    def held(self, forecast: StoredForecast) -> Held | None:
        """Return the contents if they are in memory, without opening a file."""
        try:
            key = _key(forecast)
        except OSError:
            return None
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def read(self, forecast: StoredForecast) -> Held:
        """Return the contents, read from the file at the first call.

        Raises:
            NoDataError: the forecast's file is missing.
        """
        held = self.held(forecast)
        if held is not None:
            return held
        try:
            key, fields = _key(forecast), self._read(forecast)
        except OSError as err:
            raise NoDataError(f"the file of forecast {forecast.id} is not readable: {err}") from err
        with self._lock:
            self._held[key] = fields
            while len(self._held) > 1 and sum(one.nbytes for one in self._held.values()) > self._most_bytes:
                self._held.popitem(last=False)
        return fields


class FieldCache(FileCache[Fields]):
    """Cache of the rate fields of forecasts."""

    def __init__(self, most_bytes: int = HELD_BYTES) -> None:
        super().__init__(_read, most_bytes)


def _key(forecast: StoredForecast) -> Key:
    found = forecast.path.stat()
    return forecast.path, found.st_mtime_ns, found.st_ino, found.st_size


def _read(forecast: StoredForecast) -> Fields:
    inputs_mmh_THW = read_rate(forecast.inputs_path) if forecast.inputs_path.is_file() else None
    fields = Fields(
        read_rate(forecast.path),
        None if inputs_mmh_THW is None else inputs_mmh_THW[-1].copy(),
        read_usual_coverage(forecast),
        read_known(forecast.path),
    )
    for array in fields.arrays:
        array.setflags(write=False)  # shared by all answers
    return fields


def _read_probabilities(forecast: StoredForecast) -> Probabilities:
    found = read_probabilities(forecast.path)
    if found is None:
        raise NoDataError(f"forecast {forecast.id} has no probabilities")
    found.probability_NTHW.setflags(write=False)
    return found


FIELDS: Final = FieldCache()
"""Cache of the rate fields of this process."""

PROBABILITIES: Final = FileCache(_read_probabilities, HELD_PROBABILITIES_BYTES)
"""Cache of the probabilities of this process; `read` raises NoDataError for a forecast without any too."""


def held(forecast: StoredForecast) -> bool:
    """Return whether all that the response for a place needs is in memory."""
    has_probabilities = bool(forecast.thresholds_mmh)
    return FIELDS.held(forecast) is not None and (not has_probabilities or PROBABILITIES.held(forecast) is not None)
