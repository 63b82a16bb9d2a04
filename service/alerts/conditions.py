"""Whether the conditions of rules hold in a forecast, and what its newest scan shows of them: all rules at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from service.alerts.rule import SUM, AlertRule
from service.alerts.values import AreaValues

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]

ROUNDING: Final = np.float32(1e-6)
"""Probabilities are computed in 32 bits: 1 - 0.6 is less than 0.4 by 2e-8, and counts as 0.4."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """Conditions of rules at one reference time.

    Attributes:
        probability_N: highest within the lead window; NaN is unknown.
        expected_minutes_N: first lead with the rule's probability; -1 without one.
        peak_N: highest forecast rate within the lead window in mm/h.
        starts_N: an alert may be raised.
        holds_N: a raised alert goes on.
        known_N: the newest scan observed the area.
        seen_N: it shows the event.
        begins_N: it shows the event, and scans of the dry time before do not.
    """

    probability_N: Floats
    expected_minutes_N: NDArray[np.int_]
    peak_N: Floats
    starts_N: Bools
    holds_N: Bools
    known_N: Bools
    seen_N: Bools
    begins_N: Bools


@dataclass(frozen=True, eq=False)
class RuleArrays:
    """The numbers of rules as arrays, and the index of the area of each."""

    area_N: NDArray[np.int_]
    threshold_N: Floats
    probability_N: Floats
    first_N: NDArray[np.int_]
    last_N: NDArray[np.int_]
    dry_N: NDArray[np.int_]
    quantity_N: NDArray[np.str_]

    @classmethod
    def of(cls, rules: Sequence[AlertRule], area_of: Sequence[int]) -> "RuleArrays":
        """Return the arrays of rules."""
        return cls(
            np.array(area_of, np.int_),
            np.array([rule.threshold for rule in rules], np.float32),
            np.array([rule.probability for rule in rules], np.float32),
            np.array([rule.lead_from for rule in rules], np.int_),
            np.array([rule.lead_to for rule in rules], np.int_),
            np.array([rule.dry_minutes for rule in rules], np.int_),
            np.array([rule.quantity for rule in rules], np.str_),
        )


def conditions_of(rules: RuleArrays, values: AreaValues) -> Conditions:
    """Return the conditions of rules."""
    wet_LN = _wet(rules, values)
    event_LN = np.where(rules.quantity_N == "end", _stays_dry(wet_LN, values.minutes_L, rules.dry_N), wet_LN)
    minutes_L1 = values.minutes_L[:, None]
    within_LN = (minutes_L1 >= rules.first_N) & (minutes_L1 <= rules.last_N)
    probability_N = _highest(np.where(within_LN, event_LN, np.float32("nan")))
    sums_N = rules.quantity_N == SUM
    probability_N = np.where(sums_N, _sum_probability(rules, values), probability_N)
    least_N = rules.probability_N - ROUNDING
    with np.errstate(invalid="ignore"):
        enough_LN = within_LN & (event_LN >= least_N)
        met_N = probability_N >= least_N
    expected_N = np.where(enough_LN.any(axis=0), values.minutes_L[enough_LN.argmax(axis=0)], -1)
    expected_N = np.where(sums_N & met_N, rules.last_N, expected_N)
    rate_LN = values.rate_mmh_LP[:, rules.area_N]
    peak_N = _highest(np.where(within_LN, rate_LN, np.float32("nan")))
    known_N, seen_N, begins_N, recent_N = _observed(rules, values)
    start_N, end_N = rules.quantity_N == "start", rules.quantity_N == "end"
    starts_N = met_N & ~(start_N & (recent_N | ~known_N)) & ~(end_N & ~recent_N)
    holds_N = np.where(end_N, met_N & recent_N, met_N | seen_N)
    return Conditions(probability_N, expected_N, peak_N, starts_N, holds_N, known_N, seen_N, begins_N)


def _wet(rules: RuleArrays, values: AreaValues) -> Floats:
    """Return the probability of the threshold of each rule by lead (L, N); NaN for sums."""
    wet_LN = np.full((len(values.minutes_L), len(rules.area_N)), np.nan, np.float32)
    for mmh, probability_LP in values.probability_LP.items():
        mine = np.flatnonzero((rules.threshold_N == np.float32(mmh)) & (rules.quantity_N != SUM))
        wet_LN[:, mine] = probability_LP[:, rules.area_N[mine]]
    return wet_LN


def _sum_probability(rules: RuleArrays, values: AreaValues) -> Floats:
    found_N = np.full(len(rules.area_N), np.nan, np.float32)
    for mm, probability_P in values.sum_probability_P.items():
        mine = np.flatnonzero((rules.threshold_N == np.float32(mm)) & (rules.quantity_N == SUM))
        found_N[mine] = probability_P[rules.area_N[mine]]
    return found_N


def _stays_dry(wet_LN: Floats, minutes_L: NDArray[np.int_], dry_N: NDArray[np.int_]) -> Floats:
    """Return the probability that it is dry from each lead on for the dry time, as far as leads reach (L, N)."""
    dry_LN = np.where(np.isnan(wet_LN), np.float32("nan"), 1 - wet_LN).astype(np.float32)
    found_LN = np.empty_like(dry_LN)
    for lead, minute in enumerate(minutes_L):
        after_LN = (minutes_L[:, None] >= minute) & (minutes_L[:, None] <= minute + dry_N)
        found_LN[lead] = np.where(after_LN, dry_LN, np.float32(1)).min(axis=0)
    return found_LN


def _observed(rules: RuleArrays, values: AreaValues) -> tuple[Bools, Bools, Bools, Bools]:
    """Return what scans show: known, seen, begins (as `Conditions`), and the threshold reached in the dry time."""
    rate_TN = values.observed_mmh_TP[:, rules.area_N]
    age_T1 = values.age_T[:, None]
    with np.errstate(invalid="ignore"):
        wet_TN = rate_TN >= rules.threshold_N
    known_N, now_N = np.isfinite(rate_TN[-1]), wet_TN[-1]
    recent_N = now_N | (wet_TN & (age_T1 < rules.dry_N)).any(axis=0)
    before_TN = (age_T1 > 0) & (age_T1 <= rules.dry_N)
    before_TN[-2:-1] = True  # the scan before the newest one, whatever the dry time
    begins_N = now_N & ~(wet_TN & before_TN).any(axis=0)
    seen_N, end_N, sum_N = now_N, rules.quantity_N == "end", rules.quantity_N == SUM
    if sum_N.any():
        with np.errstate(invalid="ignore"):
            reached_TN = values.observed_mm_TP[:, rules.area_N] >= rules.threshold_N
        known_N = np.where(sum_N, np.isfinite(values.observed_mm_TP[1, rules.area_N]), known_N)
        seen_N = np.where(sum_N, reached_TN[1], seen_N)
        begins_N = np.where(sum_N, reached_TN[1] & ~reached_TN[0], begins_N)
    over_N = known_N & ~recent_N
    step = int(values.age_T[-2]) if len(values.age_T) > 1 else 0
    just_N = (wet_TN & (age_T1 >= rules.dry_N) & (age_T1 < rules.dry_N + step)).any(axis=0)
    seen_N = np.where(end_N, over_N, seen_N)
    begins_N = np.where(end_N, over_N & just_N, begins_N)
    return known_N, seen_N, begins_N, recent_N


def _highest(values_LN: Floats | Float32Field) -> Floats:
    """Return the highest value of each column; NaN without any."""
    return np.asarray(np.fmax.reduce(values_LN, axis=0), np.float32)
