"""Tables of scores from sums: groups of spells, both masks, both means, intervals, and what may be claimed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, Final

import numpy as np

from training.evaluation.skill_sums import PARTS, Part, RowKey, SkillSums, SumsByRow
from training.evaluation.window_forecasts import FILLED
from verification.bootstrap import Interval, Verdict, interval, paired_interval, verdict
from verification.counts import Counts
from verification.means import MEANS, Mean, Statistic, statistic
from verification.scores import SCORES, Score, scores_of
from verification.table import MASKS, Mask

ALONE: Final = " without network"
"""End of the name of a row that is a model without its network."""

POOLED: Final = "all spells"
UNRANKED: Final = ("bias", "reliability")
"""Scores of which more is neither better nor worse than less, or which are a part of another: not compared."""


@dataclass(frozen=True)
class Group:
    """Events whose windows are counted together.

    Attributes:
        name: of the spell, or of several together.
        files: names of the event files.
    """

    name: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class MeanValue:
    """One mean over leads of a score, with its interval over spells; None where there is none."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Comparison:
    """The difference of a row to another one.

    Attributes:
        reference: the other row.
        mean: over leads.
        difference: of the values.
        interval: of the difference over spells; None with too few.
        verdict: what may be claimed.
    """

    reference: str
    mean: Mean
    difference: float
    interval: Interval | None
    verdict: Verdict


@dataclass(frozen=True)
class ScoreRow:
    """One score of one row of a table.

    Attributes:
        by_lead: value by lead in minutes; NaN where it is undefined.
        counts_by_lead: counts on the cells of each of these leads, of the same or else of the lowest threshold.
        means: by mean, over the leads that all rows and spells have.
        cells: compared grid cells of those leads.
        events: observed events among them; of a score without a threshold those at or above 0.1 mm/h.
        comparisons: of a model with the better baseline, and with itself without its network.
    """

    mask: Mask
    model: str
    score: str
    threshold_mmh: float | None
    window_km: float | None
    by_lead: Mapping[int, float]
    counts_by_lead: Mapping[int, Counts]
    means: Mapping[Mean, MeanValue]
    cells: int
    events: int
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class SkillTable:
    """All scores of a group in one part.

    Attributes:
        leads: those that count in the means.
        windows: number of windows.
        spells: number of spells.
        rows: scores, in the order of mask, score, threshold, window and model.
        sums: from which they are taken.
        unit: of the thresholds; mm of amounts.
    """

    group: Group
    part: Part
    leads: tuple[int, ...]
    windows: int
    spells: int
    rows: tuple[ScoreRow, ...]
    sums: SumsByRow
    unit: str = "mm/h"

    @property
    def models(self) -> list[str]:
        """Return the names of its rows."""
        return list(dict.fromkeys(row.model for row in self.rows))

    def find(
        self, mask: Mask, score: str, threshold_mmh: float | None = None, window_km: float | None = None
    ) -> list[ScoreRow]:
        """Return the rows of one score, one for each model that has it."""
        wanted = (mask, score, threshold_mmh, window_km)
        return [row for row in self.rows if (row.mask, row.score, row.threshold_mmh, row.window_km) == wanted]


def groups_of(sums: SkillSums, unpooled: Sequence[str] = ()) -> list[Group]:
    """Return a group per spell, one per file that is not pooled, and one of all others if those are several spells."""
    by_spell: dict[str, list[str]] = {}
    for file, spell in sums.spells.items():
        if file not in unpooled:
            by_spell.setdefault(spell, []).append(file)
    groups = [Group(spell, tuple(files)) for spell, files in by_spell.items()]
    if len(by_spell) > 1:
        groups.insert(0, Group(POOLED, tuple(file for files in by_spell.values() for file in files)))
    return [*groups, *(Group(file, (file,)) for file in sums.spells if file in unpooled)]


def skill_tables(sums: SkillSums, unpooled: Sequence[str] = (), unit: str = "mm/h") -> Iterator[SkillTable]:
    """Yield the tables of every group, of all windows and of those with STEPS."""
    for group in groups_of(sums, unpooled):
        for part in PARTS:
            by_row = of_common_spells(sums.of_files(part, group.files))
            if by_row:
                yield replace(_table(sums, group, part, by_row), unit=unit)


def _table(sums: SkillSums, group: Group, part: Part, by_row: SumsByRow) -> SkillTable:
    leads = common_leads(by_row)
    spells = {spell for of_spells in by_row.values() for spell in of_spells}
    models = list(dict.fromkeys(row.model for row in by_row))
    rows: list[ScoreRow] = []
    for mask in MASKS:
        for family, threshold, window_km in dict.fromkeys(
            (row.family, row.threshold_mmh, row.window_km) for row in by_row if row.mask == mask
        ):
            for name in scores_of(family):
                rows += _rows_of_score(by_row, models, leads, RowKey(mask, "", family, threshold, window_km), name)
    windows = sum(sums.windows[part, file] for file in group.files)
    return SkillTable(group, part, leads, windows, len(spells), tuple(rows), by_row)


def of_common_spells(by_row: SumsByRow) -> SumsByRow:
    """Leave out the spells that a row lacks, such as those of a cadence that does not fit a model."""
    every = [set(spells) for row, spells in by_row.items() if row.family == "counts"]
    common = set.intersection(*every) if every else set()
    kept = {row: {name: spells[name] for name in spells if name in common} for row, spells in by_row.items()}
    return {row: spells for row, spells in kept.items() if spells}


def common_leads(by_row: SumsByRow) -> tuple[int, ...]:
    """Return the leads of the counts that every row and every spell has, ascending."""
    found = [set(leads) for row, spells in by_row.items() if row.family == "counts" for leads in spells.values()]
    return tuple(sorted(set.intersection(*found))) if found else ()


def _rows_of_score(
    by_row: SumsByRow, models: Sequence[str], leads: tuple[int, ...], key: RowKey, name: str
) -> list[ScoreRow]:
    score: Score[Any] = SCORES.get(name)()
    of_models = {model: by_row[key._replace(model=model)] for model in models if key._replace(model=model) in by_row}
    values: dict[str, dict[Mean, MeanValue]] = {
        model: {mean: _mean(statistic(mean, score), spells, leads) for mean in MEANS}
        for model, spells in of_models.items()
    }
    rows = []
    for model, spells in of_models.items():
        by_lead = _counts_by_lead(by_row, key._replace(model=model))
        counts = reduce(add, (by_lead[lead] for lead in leads if lead in by_lead), Counts())
        events = counts.hits + counts.misses
        compared = [] if model in FILLED or name in UNRANKED else _references(model, values, score.best)
        rows.append(
            ScoreRow(
                *(key.mask, model, name, key.threshold_mmh, key.window_km),
                by_lead={lead: score.value(sums) for lead, sums in sorted(_pooled_leads(spells).items())},
                counts_by_lead=by_lead,
                means=values[model],
                cells=counts.total,
                events=events,
                comparisons=tuple(
                    _compared(statistic(mean, score), mean, other, of_models, values, model, leads, events)
                    for mean, other in compared
                ),
            )
        )
    return rows


def _references(model: str, values: Mapping[str, Mapping[Mean, MeanValue]], best: float) -> list[tuple[Mean, str]]:
    """Return, for each mean, the better baseline, and the model without its network if that is a row."""
    found: list[tuple[Mean, str]] = []
    for mean in MEANS:
        of_baselines = {name: values[name][mean].value for name in values if name in FILLED}
        defined = {name: value for name, value in of_baselines.items() if np.isfinite(value)}
        if defined:
            found.append((mean, (max if best > 0 else min)(defined, key=lambda name: defined[name])))
        if f"{model}{ALONE}" in values:
            found.append((mean, f"{model}{ALONE}"))
    return found


def _compared(
    of: Statistic,
    mean: Mean,
    other: str,
    of_models: Mapping[str, Mapping[str, Mapping[int, Any]]],
    values: Mapping[str, Mapping[Mean, MeanValue]],
    model: str,
    leads: tuple[int, ...],
    events: int,
) -> Comparison:
    one, two = (_chosen(of_models[name], leads) for name in (model, other))
    found = paired_interval(one, two, of) if set(one) == set(two) else None
    difference = values[model][mean].value - values[other][mean].value
    return Comparison(other, mean, difference, found, verdict(found, of.score.best, events))


def _mean(of: Statistic, spells: Mapping[str, Mapping[int, Any]], leads: tuple[int, ...]) -> MeanValue:
    chosen = _chosen(spells, leads)
    together = [reduce(add, [sums[place] for sums in chosen.values()]) for place in range(len(leads))] if chosen else []
    return MeanValue(of.of(together), interval(chosen, of))


def _chosen(spells: Mapping[str, Mapping[int, Any]], leads: tuple[int, ...]) -> dict[str, list[Any]]:
    """Return the sums of the leads that count, by spell; a spell without one of them is left out."""
    return {spell: [sums[lead] for lead in leads] for spell, sums in spells.items() if set(leads) <= set(sums)}


def _pooled_leads(spells: Mapping[str, Mapping[int, Any]]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for sums_by_lead in spells.values():
        for lead, sums in sums_by_lead.items():
            found[lead] = found[lead] + sums if lead in found else sums
    return found


def _counts_by_lead(by_row: SumsByRow, key: RowKey) -> dict[int, Counts]:
    """Return the counts on the same cells, of the same threshold or else of the lowest one, by lead."""
    same = RowKey(key.mask, key.model, "counts", key.threshold_mmh, None)
    if same not in by_row:
        thresholds = [row.threshold_mmh for row in by_row if row._replace(threshold_mmh=key.threshold_mmh) == same]
        same = same._replace(threshold_mmh=min(mmh for mmh in thresholds if mmh is not None))
    return _pooled_leads(by_row[same])
