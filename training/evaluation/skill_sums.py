"""Sums of scores over the windows of events: by file, model, lead, mask and score, however many windows there are."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.units import MAIN_THRESHOLDS_MMH, THRESHOLDS_MMH
from training.evaluation.event_windows import EventWindow
from training.evaluation.window_forecasts import ENSEMBLES, FILLED, LeadFields
from verification.lead import ComparedLead, Exceedance
from verification.scores import families
from verification.sums import Sums
from verification.table import Mask, SumRow
from verification.verify import compared_leads, sums_of

Part = Literal["every", "ensemble"]
PARTS: Final[tuple[Part, Part]] = ("every", "ensemble")
"""All windows, and those that STEPS was run on: a comparison with STEPS takes its windows on both sides."""

WINDOWS_KM: Final = (5.0, 10.0, 20.0, 40.0)
TILES: Final = 12
"""Parts of a field along each axis, for maps of scores."""

MAP_MMH: Final = 0.5


class SumKey(NamedTuple):
    """What some sums are of."""

    part: Part
    file: str
    model: str
    lead_minutes: int
    family: str
    threshold_mmh: float | None
    window_km: float | None
    mask: Mask


@dataclass
class SkillSums:
    """Sums over windows.

    Attributes:
        totals: by what they are of.
        windows: number of windows by part and file.
        spells: spell of weather by file.
        tiles: the numbers of `tiles_of_leads` by file and model.
    """

    totals: dict[SumKey, Any] = field(default_factory=dict)
    windows: Counter[tuple[Part, str]] = field(default_factory=Counter)
    spells: dict[str, str] = field(default_factory=dict)
    tiles: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def add_tiles(self, file: str, by_model: Mapping[str, Sequence[int]]) -> None:
        """Add the counts of one window by part of the field."""
        for model, numbers in by_model.items():
            before = self.tiles.get((file, model), [0] * len(numbers))
            self.tiles[file, model] = [one + other for one, other in zip(before, numbers, strict=True)]

    def add(self, part: Part, file: str, spell: str, rows: Iterable[SumRow]) -> None:
        """Add the rows of one window."""
        self.spells[file] = spell
        self.windows[part, file] += 1
        for row in rows:
            key = SumKey(
                part, file, row.model, row.lead_minutes, row.family, row.threshold_mmh, row.window_km, row.mask
            )
            self.totals[key] = self.totals[key] + row.sums if key in self.totals else row.sums

    def of_files(self, part: Part, files: Sequence[str]) -> "SumsByRow":
        """Return the sums of some files by row of a table, spell and lead."""
        chosen = set(files)
        found: defaultdict[RowKey, defaultdict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
        for key, sums in self.totals.items():
            if key.part == part and key.file in chosen:
                row = RowKey(key.mask, key.model, key.family, key.threshold_mmh, key.window_km)
                leads = found[row][self.spells[key.file]]
                leads[key.lead_minutes] = leads[key.lead_minutes] + sums if key.lead_minutes in leads else sums
        return dict(found)


class RowKey(NamedTuple):
    """A row of a table of scores."""

    mask: Mask
    model: str
    family: str
    threshold_mmh: float | None
    window_km: float | None


SumsByRow = Mapping[RowKey, Mapping[str, Mapping[int, Any]]]
"""Sums by row, spell and lead in minutes."""


def compared_window(fields: Mapping[str, LeadFields], window: EventWindow) -> list[ComparedLead]:
    """Return every lead of a window with the models that have it, on the same cells.

    Args:
        fields: forecasts by row; `extrapolation` gives the mask `known` of all.
        window: observation.
    """
    return [
        lead for index, minutes in enumerate(window.lead_minutes) for lead in _compared(fields, window, index, minutes)
    ]


def rows_of_leads(
    leads: Sequence[ComparedLead],
    thresholds_mmh: Sequence[float] = THRESHOLDS_MMH,
    *,
    windows_km: Sequence[float] = WINDOWS_KM,
    window_thresholds_mmh: Sequence[float] = MAIN_THRESHOLDS_MMH,
    only: Sequence[str] | None = None,
) -> list[SumRow]:
    """Return the sums of one window.

    Args:
        leads: of the window.
        thresholds_mmh: of events.
        windows_km: edges of neighbourhoods.
        window_thresholds_mmh: of events in a neighbourhood, which take long.
        only: families of sums; None takes every one.
    """
    every = families("rain", "probabilities", "members")
    if only is not None:
        every = {name: kind for name, kind in every.items() if name in only}
    of_windows = [name for name, kind in every.items() if kind.has("window_cells")]
    others = [name for name in every if name not in of_windows]
    rows = sums_of(leads, thresholds_mmh, only=others, purpose="evaluation")
    return rows + sums_of(leads, window_thresholds_mmh, windows_km, only=of_windows, purpose="evaluation")


def tiles_of_leads(leads: Sequence[ComparedLead]) -> dict[str, NDArray[np.int64]]:
    """Return hits, misses and false alarms by part of the field, (3, TILES, TILES), of the leads that all models have.

    An event is MAP_MMH or more, in the cells of mask `all`; of the rows that every window has.
    """
    models = [name for name in dict.fromkeys(name for lead in leads for name in lead.rates) if name not in ENSEMBLES]
    found = {name: np.zeros((3, TILES, TILES), np.int64) for name in models}
    for lead in leads:
        if not set(models) <= set(lead.rates):
            continue
        inside_HW = lead.masks["all"]
        seen_HW = inside_HW & (lead.observed_HW >= MAP_MMH)
        for name in models:
            event_HW = inside_HW & (lead.rates[name] >= MAP_MMH)
            for place, cells_HW in enumerate((event_HW & seen_HW, seen_HW & ~event_HW, event_HW & ~seen_HW)):
                found[name][place] += _by_tile(cells_HW)
    return found


def _by_tile(cells_HW: BoolField) -> NDArray[np.int64]:
    """Return the number of true cells in each of TILES x TILES parts of a field; a small field has fewer parts."""
    counts = np.zeros((TILES, TILES), np.int64)
    rows, cols = (np.unique(np.arange(TILES) * size // TILES) for size in cells_HW.shape)
    sums = np.add.reduceat(np.add.reduceat(cells_HW.astype(np.int64), rows, axis=0), cols, axis=1)
    counts[: sums.shape[0], : sums.shape[1]] = sums
    return counts


def _compared(
    fields: Mapping[str, LeadFields], window: EventWindow, index: int, minutes: int
) -> Iterable[ComparedLead]:
    present = {name: one for name, one in fields.items() if minutes in one.lead_minutes}
    place = {name: one.lead_minutes.index(minutes) for name, one in present.items()}
    known_LHW = present["extrapolation"].known_LHW
    return compared_leads(
        {name: one.rate_mmh_LHW[place[name]][None] for name, one in present.items()},
        window.future_LHW[index][None],
        [minutes],
        covered_HW=np.isfinite(window.past_THW[-1]),
        filled=[name for name in present if name in FILLED],
        known_THW=None if known_LHW is None else known_LHW[place["extrapolation"]][None],
        exceedance={
            name: [Exceedance(one.thresholds_mmh, _dry_where_missing(name, one.probability_KLHW[:, place[name]]))]
            for name, one in present.items()
            if one.probability_KLHW is not None
        },
        pixel_m=window.pixel_m,
        members={
            name: one.members_MLHW[:, place[name]][:, None]
            for name, one in present.items()
            if one.members_MLHW is not None
        },
    )


def _dry_where_missing(name: str, probability_KHW: Float32Field) -> Float32Field:
    return np.nan_to_num(probability_KHW, nan=0.0) if name in FILLED else probability_KHW


def to_text(rows: Iterable[SumRow]) -> list[list[Any]]:
    """Return rows as lists of numbers and texts."""
    return [
        [row.model, row.lead_minutes, row.family, row.threshold_mmh, row.window_km, row.mask, *row.sums.flat()]
        for row in rows
    ]


def from_text(rows: Iterable[Sequence[Any]]) -> list[SumRow]:
    """Return rows of such lists, the inverse of `to_text`."""
    kinds = families("rain", "probabilities", "members")
    empty = Sums()
    found = []
    for model, lead, family, threshold, window_km, mask, *numbers in rows:
        row = SumRow(model, lead, family, empty, threshold, window_km, mask)
        found.append(replace(row, sums=kinds[family].sums.from_flat(numbers)))
    return found
