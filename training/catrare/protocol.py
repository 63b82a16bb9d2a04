"""What the benchmark scores, and what became of the windows that it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from core.errors import ConfigError
from training.catrare.catalogue import YEARS, CatalogueEvent

CADENCE_MINUTES: Final = 5
HOUR_STEPS: Final = 12
LEAST_PAST: Final = 5


@dataclass(frozen=True)
class CatrareProtocol:
    """What is scored.

    Attributes:
        years: in which the events start.
        thresholds_mm: sums of an hour that are events of the score.
        size_cells: edge of the cut-outs in grid cells of 1 km.
        past_fields: most input fields; a forecast starts from all that precede it without a gap, at least five.
        every_minutes: time between two reference times of an event.
    """

    years: tuple[int, ...] = YEARS
    thresholds_mm: tuple[float, ...] = (5.0, 10.0, 15.0, 20.0)
    size_cells: int = 256
    past_fields: int = 25
    every_minutes: int = CADENCE_MINUTES

    def __post_init__(self) -> None:
        if self.every_minutes < CADENCE_MINUTES or self.every_minutes % CADENCE_MINUTES:
            raise ConfigError(f"every_minutes: expected a multiple of {CADENCE_MINUTES}, got {self.every_minutes}")
        if self.past_fields < LEAST_PAST or self.size_cells < 1 or not self.thresholds_mm or not self.years:
            raise ConfigError(
                f"expected past_fields of {LEAST_PAST} or more, size_cells of 1 or more, a threshold and a year, got "
                f"{self.past_fields}, {self.size_cells}, {self.thresholds_mm}, {self.years}"
            )

    def reference_minutes(self, event: CatalogueEvent) -> range:
        """Return the reference times of an event in minutes of the epoch: the hour after them overlaps the event."""
        start = -(-minutes_of(event.start) // CADENCE_MINUTES) * CADENCE_MINUTES
        return range(start - 60 + CADENCE_MINUTES, minutes_of(event.end), self.every_minutes)


@dataclass
class WindowTally:
    """What became of the windows that the catalogue asks for; to note the same thing again changes nothing.

    Attributes:
        planned: reference times of all events.
        complete: windows with all their fields.
        uncovered: windows whose cut-out has no observed cell in one of the two newest fields, or in the hour, as
            reference time in minutes of the epoch and name of the event.
        outside: names of the events whose place is not on the grid; their windows are not complete.
        unreadable: why files were not read.
        repeated: times in minutes that a second file has too; the first file's field is used.
    """

    planned: int = 0
    complete: int = 0
    uncovered: set[tuple[int, str]] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    repeated: set[int] = field(default_factory=set)

    @property
    def incomplete(self) -> int:
        """Return the number of windows that lack a field, or whose event is not on the grid."""
        return self.planned - self.complete - len(self.uncovered)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as `from_dict` reads them."""
        return {
            "planned": self.planned,
            "complete": self.complete,
            "uncovered": sorted(self.uncovered),
            "outside": sorted(self.outside),
            "unreadable": sorted(self.unreadable),
            "repeated": sorted(self.repeated),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "WindowTally":
        """Return the tally of `to_dict`'s values."""
        return cls(
            values["planned"],
            values["complete"],
            {(int(minute), str(name)) for minute, name in values["uncovered"]},
            *(set(values[name]) for name in ("outside", "unreadable", "repeated")),
        )


def minutes_of(time: datetime) -> int:
    """Return a time in minutes of the epoch."""
    return int(time.timestamp() // 60)
