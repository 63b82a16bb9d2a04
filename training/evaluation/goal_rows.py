"""CSI of a model and of the better baseline by threshold, and the leads at which the model is behind."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final

from training.evaluation.skill_sums import SkillSums
from verification.bootstrap import LEAST_OBSERVED_CELLS, Interval, paired_interval
from verification.counts import Counts
from verification.means import LeadMean
from verification.scores.csi import CSI
from verification.table import Mask

REFERENCES: Final = ("persistence", "extrapolation")
"""The baselines whose better one counts."""

THRESHOLDS_MMH: Final = (0.5, 2.0, 5.0, 10.0)
GAINS: Final = dict(zip(THRESHOLDS_MMH, (0.10, 0.12, 0.15, 0.15), strict=True))
"""Gains over the better baseline that are to be reached, in the mean over leads."""

BEHIND: Final = 0.005
"""Difference of CSI from which on a model counts as behind a baseline."""


@dataclass(frozen=True)
class SkillCase:
    """One spell of weather at one cadence and cell size.

    Attributes:
        spell: its name.
        unseen: whether no model was trained on it; otherwise the model is a fold that left it out.
        own: whether cadence and cells are those of the source.
        cadence_minutes: between fields.
        cell_km: edge of a cell.
        windows: number of forecasts.
        counts: by model, mask and threshold, then by lead in minutes.
    """

    spell: str
    unseen: bool
    own: bool
    cadence_minutes: int
    cell_km: float
    windows: int
    counts: Mapping[tuple[str, Mask, float], Mapping[int, Counts]]


@dataclass(frozen=True)
class GoalRow:
    """One threshold of a model in a group of cases.

    Attributes:
        by_lead: CSI of every model by lead; NaN where it is undefined.
        means: CSI of every model, mean over the leads.
        reference: the better baseline by that mean.
        gain: model / reference - 1; NaN without a reference.
        interval: of the gain, over spells.
        bias: frequency bias of every model, pooled over leads.
        cells: compared grid cells.
        events: observed ones at or above the threshold.
        events_by_lead: the same by lead.
    """

    group: str
    windows: int
    spells: int
    mask: Mask
    threshold_mmh: float
    by_lead: Mapping[str, Mapping[int, float]]
    means: Mapping[str, float]
    reference: str
    gain: float
    interval: Interval | None
    bias: Mapping[str, float]
    cells: int
    events: int
    events_by_lead: Mapping[int, int]

    @property
    def reached(self) -> bool:
        """Return whether the gain is that of `GAINS`."""
        return self.gain >= GAINS[self.threshold_mmh]


@dataclass(frozen=True)
class Lag:
    """A lead at which a model is behind the better baseline by more than `BEHIND`."""

    group: str
    threshold_mmh: float
    lead_minutes: int
    csi: float
    reference: str
    reference_csi: float
    events: int

    @property
    def claimed(self) -> bool:
        """Return whether enough cells were observed for a claim."""
        return self.events >= LEAST_OBSERVED_CELLS


def counts_of(sums: SkillSums, files: Sequence[str]) -> dict[tuple[str, Mask, float], dict[int, Counts]]:
    """Return the counts of some files of one spell by model, mask and threshold, then by lead."""
    found: dict[tuple[str, Mask, float], dict[int, Counts]] = {}
    for row, by_spell in sums.of_files("every", files).items():
        if row.family == "counts" and row.threshold_mmh in THRESHOLDS_MMH:
            (by_lead,) = by_spell.values()
            found[row.model, row.mask, row.threshold_mmh] = dict(by_lead)
    return found


def goal_rows(cases: Sequence[SkillCase], model: str, mask: Mask = "known") -> Iterator[GoalRow]:
    """Yield the rows of every spell on its own cells, of the folds, of the unseen spells, and of all together.

    Args:
        cases: of all spells, also on coarser cells, which count in no row here.
        model: name of the row that is compared with the baselines.
        mask: cells that count.
    """
    own = [case for case in cases if case.own]
    folds, unseen = ([case for case in own if case.unseen == of_role] for of_role in (False, True))
    groups: dict[str, list[SkillCase]] = {}
    for case in own:
        groups.setdefault(case.spell, []).append(case)
    groups |= {"folds": folds, "unseen spells": unseen, "all spells": own}
    for name, chosen in groups.items():
        if chosen:
            yield from rows_of_group(name, chosen, model, mask)


def rows_of_group(name: str, cases: Sequence[SkillCase], model: str, mask: Mask) -> Iterator[GoalRow]:
    """Yield one row for each threshold; counts of all cases are added by lead, the ratio comes last."""
    models = list(dict.fromkeys(key[0] for case in cases for key in case.counts))
    leads = sorted({lead for case in cases for by_lead in case.counts.values() for lead in by_lead})
    for mmh in THRESHOLDS_MMH:
        spells = {one: _by_spell(cases, (one, mask, mmh), leads) for one in models}
        totals = {one: _added(spells[one].values(), len(leads)) for one in models}
        mean = LeadMean(CSI(mmh))
        means = {one: mean.of(totals[one]) for one in models}
        reference = max(REFERENCES, key=lambda one: means.get(one, -1.0) if means.get(one, -1.0) >= 0 else -1.0)
        pooled = {one: reduce(add, totals[one], Counts()) for one in models}
        yield GoalRow(
            *(name, sum(case.windows for case in cases), len(spells[model]), mask, mmh),
            by_lead={one: dict(zip(leads, map(CSI(mmh).value, totals[one]), strict=True)) for one in models},
            means=means,
            reference=reference,
            gain=means[model] / means[reference] - 1 if means[reference] > 0 else float("nan"),
            interval=paired_interval(spells[model], spells[reference], mean, relative=True),
            bias={one: _bias(counts) for one, counts in pooled.items()},
            cells=pooled[model].total,
            events=pooled[model].hits + pooled[model].misses,
            events_by_lead={lead: c.hits + c.misses for lead, c in zip(leads, totals[model], strict=True)},
        )


def lags(cases: Sequence[SkillCase], model: str, mask: Mask = "known") -> Iterator[Lag]:
    """Yield every lead and threshold at which the model is behind, by cadence and cell size, and by spell in these."""
    groups: dict[str, list[SkillCase]] = {}
    for case in cases:
        scale = f"{case.cadence_minutes} min, {case.cell_km:.2g} km"
        groups.setdefault(scale, []).append(case)
        groups.setdefault(f"{scale}, {case.spell}", []).append(case)
    for name, chosen in groups.items():
        if chosen not in [groups[other] for other in groups if name.startswith(f"{other}, ")]:
            for row in rows_of_group(name, chosen, model, mask):
                yield from _lags_of(row, model)


def _lags_of(row: GoalRow, model: str) -> Iterator[Lag]:
    for lead, csi in row.by_lead[model].items():
        reference = max(REFERENCES, key=lambda one: row.by_lead[one][lead])
        best = row.by_lead[reference][lead]
        if csi - best < -BEHIND:
            yield Lag(row.group, row.threshold_mmh, lead, csi, reference, best, row.events_by_lead[lead])


def _by_spell(
    cases: Sequence[SkillCase], key: tuple[str, Mask, float], leads: Sequence[int]
) -> dict[str, list[Counts]]:
    """Return the counts of each lead by spell; a lead that a spell lacks adds nothing."""
    found: dict[str, list[Counts]] = {}
    for case in cases:
        here = [case.counts.get(key, {}).get(lead, Counts()) for lead in leads]
        before = found.get(case.spell)
        found[case.spell] = here if before is None else list(map(add, before, here))
    return found


def _added(spells: Iterable[list[Counts]], leads: int) -> list[Counts]:
    return reduce(lambda one, other: list(map(add, one, other)), spells, [Counts()] * leads)


def _bias(counts: Counts) -> float:
    observed = counts.hits + counts.misses
    return (counts.hits + counts.false_alarms) / observed if observed else float("nan")
