"""Documents of scores: from sums to rows with their number of grid cells, and to the two means over leads."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from service.schemas.scores import BrierOut, FssOut, MeanScoreOut, ReliabilityOut, ScoreOut, ScoreValueOut
from verification.bootstrap import LEAST_OBSERVED_CELLS
from verification.counts import Counts
from verification.means import MEANS, statistic
from verification.scores import SCORES, scores_of, values_of, values_of_counts
from verification.scores.fss import FractionSums
from verification.scores.reliability import ReliabilityBins
from verification.sums import PPM
from verification.table import Mask, SumRow, of_family


class CellCounts:
    """Scored grid cells and observed events of each model, lead and threshold, from the rows of the four counts."""

    def __init__(self, rows: Iterable[SumRow]) -> None:
        self._counts = {
            (row.model, row.version, row.mask, row.lead_minutes, row.threshold_mmh): row.sums
            for row in rows
            if isinstance(row.sums, Counts)
        }
        self._totals = {key[:-1]: counts.total for key, counts in self._counts.items()}

    def of(self, row: SumRow) -> dict[str, Any]:
        """Return the fields `cells`, `observed_cells` and `enough` of a row; of one without a threshold, all cells."""
        key = (row.model, row.version, row.mask, row.lead_minutes)
        if row.threshold_mmh is not None:
            counts = self._counts.get((*key, row.threshold_mmh), Counts())
            return cell_fields(counts.total, counts.hits + counts.misses)
        return cell_fields(self._totals.get(key, 0), self._totals.get(key, 0))


def cell_fields(cells: int, observed_cells: int) -> dict[str, Any]:
    """Return the fields of a row that say on how much it rests."""
    return {"cells": cells, "observed_cells": observed_cells, "enough": observed_cells >= LEAST_OBSERVED_CELLS}


def score_rows(rows: Iterable[SumRow]) -> list[ScoreOut]:
    """Return the counts and all scores computed from them; an undefined score is null."""
    counted = [(row, row.sums) for row in rows if isinstance(row.sums, Counts)]
    families = {row.family for row, _ in counted}
    values = {
        family: _values([counts for row, counts in counted if row.family == family], family) for family in families
    }
    return [_score_row(row, counts, values[row.family][counts]) for row, counts in counted]


def _values(counts: Iterable[Counts], family: str) -> dict[Counts, dict[str, float | None]]:
    """Return every score of some tables of counts, all at once: those of a forecast are a thousand."""
    tables = list(dict.fromkeys(counts))
    return dict(zip(tables, values_of_counts(tables, family), strict=True))


def _score_row(row: SumRow, counts: Counts, scores: dict[str, float | None]) -> ScoreOut:
    return ScoreOut(
        model=row.model,
        lead_minutes=row.lead_minutes,
        threshold_mmh=row.threshold_mmh or 0.0,
        hits=counts.hits,
        misses=counts.misses,
        false_alarms=counts.false_alarms,
        correct_negatives=counts.correct_negatives,
        **cell_fields(counts.total, counts.hits + counts.misses),
        csi=scores["csi"],
        hss=scores["hss"],
        pod=scores["pod"],
        far=scores["far"],
        frequency_bias=scores["bias"],
        scores=scores,
        version=row.version,
    )


def value_rows(rows: Sequence[SumRow], mask: Mask, cells: CellCounts) -> list[ScoreValueOut]:
    """Return every score that is not taken from the four counts."""
    found = [row for row in rows if row.mask == mask and row.family != "counts"]
    return [
        ScoreValueOut(**_key(row), **cells.of(row), score=name, window_km=row.window_km, value=value)
        for row in found
        for name, value in values_of(row.sums, row.family).items()
    ]


def fss_rows(rows: Sequence[SumRow], mask: Mask) -> list[FssOut]:
    """Return the fractions skill scores with their parts."""
    return [_fss(row, row.sums) for row in of_family(rows, "fss", mask) if isinstance(row.sums, FractionSums)]


def _fss(row: SumRow, sums: FractionSums) -> FssOut:
    value = values_of(sums, row.family)["fss"]
    return FssOut(
        **_key(row),
        window_km=row.window_km or 0.0,
        difference=sums.difference,
        worst=sums.worst,
        windows=sums.windows,
        fss=value,
    )


def reliability_rows(rows: Sequence[SumRow], mask: Mask) -> list[ReliabilityOut]:
    """Return the bins of probability that hold a grid cell."""
    return [
        ReliabilityOut(
            **_key(row),
            bin=number or 0,
            cells=cells,
            events=events,
            forecast_probability=ppm / PPM / cells,
            observed_frequency=events / cells,
        )
        for row in of_family(rows, "reliability", mask)
        for number, (cells, events, ppm) in row.sums.rows()
    ]


def brier_rows(rows: Sequence[SumRow], mask: Mask) -> list[BrierOut]:
    """Return the Brier score with its parts, where a grid cell has a probability."""
    return [
        BrierOut(**_key(row), **asdict(parts), brier=parts.brier, skill=parts.skill)
        for row in of_family(rows, "reliability", mask)
        if isinstance(row.sums, ReliabilityBins) and (parts := row.sums.brier_parts()) is not None
    ]


def mean_rows(rows: Sequence[SumRow], masks: Sequence[Mask], cells: CellCounts) -> list[MeanScoreOut]:
    """Return each score over all leads, pooled and as the mean of the leads, of all versions of a model together."""
    groups: dict[tuple[Any, ...], list[SumRow]] = {}
    for row in rows:
        if row.mask in masks:
            groups.setdefault((row.mask, row.model, row.family, row.threshold_mmh, row.window_km), []).append(row)
    return [one for group in groups.values() for one in _means(group, cells)]


def _means(group: Sequence[SumRow], cells: CellCounts) -> list[MeanScoreOut]:
    first, by_lead = group[0], _by_lead(group)
    rests_on = [cells.of(row) for row in group]
    fields = cell_fields(*(sum(one[name] for one in rests_on) for name in ("cells", "observed_cells")))
    versions = {row.version for row in group}
    key = _key(first) | {"version": versions.pop() if len(versions) == 1 else None}
    del key["lead_minutes"]
    found = []
    for name in scores_of(first.family):
        for mean in MEANS:
            value = statistic(mean, SCORES.get(name)()).of(by_lead)
            found.append(
                MeanScoreOut(
                    **key,
                    **fields,
                    score=name,
                    mean=mean,
                    mask=first.mask,
                    leads=len(by_lead),
                    window_km=first.window_km,
                    value=value if isfinite(value) else None,
                )
            )
    return found


def _by_lead(group: Sequence[SumRow]) -> list[Any]:
    """Return the sums of each lead, versions added up."""
    found: dict[int, Any] = {}
    for row in group:
        found[row.lead_minutes] = found[row.lead_minutes] + row.sums if row.lead_minutes in found else row.sums
    return [found[lead] for lead in sorted(found)]


def _key(row: SumRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("model", "version", "lead_minutes", "threshold_mmh")}
