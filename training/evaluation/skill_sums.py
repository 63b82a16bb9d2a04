"""Sums of scores over the windows of events: by file, model, lead, mask and score, however many windows there are."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from core.arrays import Float32Field
from core.units import MAIN_THRESHOLDS_MMH, THRESHOLDS_MMH
from training.evaluation.event_windows import EventWindow
from training.evaluation.window_forecasts import FILLED, LeadFields
from verification.lead import ComparedLead, Exceedance
from verification.scores import families
from verification.sums import Sums
from verification.table import Mask, SumRow
from verification.verify import compared_leads, sums_of

Part = Literal["every", "ensemble"]
PARTS: Final[tuple[Part, Part]] = ("every", "ensemble")
"""All windows, and those that STEPS was run on: a comparison with STEPS takes its windows on both sides."""

WINDOWS_KM: Final = (5.0, 10.0, 20.0, 40.0)


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
    """

    totals: dict[SumKey, Any] = field(default_factory=dict)
    windows: Counter[tuple[Part, str]] = field(default_factory=Counter)
    spells: dict[str, str] = field(default_factory=dict)

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


def rows_of_window(
    fields: Mapping[str, LeadFields],
    window: EventWindow,
    thresholds_mmh: Sequence[float] = THRESHOLDS_MMH,
    *,
    windows_km: Sequence[float] = WINDOWS_KM,
    window_thresholds_mmh: Sequence[float] = MAIN_THRESHOLDS_MMH,
) -> list[SumRow]:
    """Return the sums of one window: of each lead the models that have it, on the same cells.

    Args:
        fields: forecasts by row; `extrapolation` gives the mask `known` of all.
        window: observation.
        thresholds_mmh: of events.
        windows_km: edges of neighbourhoods.
        window_thresholds_mmh: of events in a neighbourhood, which take long.
    """
    every = families("rain", "probabilities", "members")
    of_windows = [name for name, kind in every.items() if kind.has("window_cells")]
    others = [name for name in every if name not in of_windows]
    rows: list[SumRow] = []
    for index, minutes in enumerate(window.lead_minutes):
        leads = list(_compared(fields, window, index, minutes))
        rows += sums_of(leads, thresholds_mmh, only=others, purpose="evaluation")
        rows += sums_of(leads, window_thresholds_mmh, windows_km, only=of_windows, purpose="evaluation")
    return rows


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
