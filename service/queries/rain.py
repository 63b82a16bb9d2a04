"""Start and end of the next rain at a place: from ensemble members, or from the rates and their probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field

RAIN_MMH: Final = 0.1
"""Rain rate from which a place counts as wet."""

ABOUT_MINUTES: Final = 15
"""Time from the start, earlier or later, within which the rain of a member counts for its probability."""

LEAST_PROBABILITY: Final = 0.2
"""Members that show rain more rarely make no start; the forecast rate shows none there either."""

Basis = Literal["members", "probabilities", "rates"]


@dataclass(frozen=True)
class NextRain:
    """Start and end of the next rain at a place, in minutes after the reference time; None is unknown or not forecast.

    Attributes:
        start_minutes: 0 where the newest scan has rain.
        start_probability: of rain at the start; from members, of rain within `ABOUT_MINUTES` of it.
        end_minutes: first dry time after the start.
        end_probability: that it is dry then.
        basis: what minutes and probabilities come from.
    """

    start_minutes: int | None
    start_probability: float | None
    end_minutes: int | None
    end_probability: float | None
    basis: Basis


def member_rain(rate_mmh_ML: Float32Field, lead_minutes: Sequence[int], observed_mmh: float | None) -> NextRain | None:
    """Return start and end of the next rain from ensemble members; None where fewer than a fifth have rain about then.

    Minutes are medians: of the starts over members with rain, and of the ends over those in which it ends. The share of
    members with any rain within the leads would say more than is known: in two hours nearly every member has a shower.

    Args:
        rate_mmh_ML: mm/h by member and lead, without NaN.
        lead_minutes: of the rates.
        observed_mmh: newest scan; where it has rain, that is the start in every member.
    """
    rains_now = observed_mmh is not None and observed_mmh >= RAIN_MMH
    wet_ML, minutes_L = rate_mmh_ML >= RAIN_MMH, np.array(lead_minutes)
    has_M = wet_ML.any(axis=1) | rains_now
    if not has_M.any():
        return None
    first_M = np.where(rains_now, -1, wet_ML.argmax(axis=1))[has_M]
    start = 0 if rains_now else _median(minutes_L[first_M])
    about_L = np.abs(minutes_L - start) <= ABOUT_MINUTES
    probability = 1.0 if rains_now else float(wet_ML[:, about_L].any(axis=1).mean())
    if probability < LEAST_PROBABILITY:
        return None
    dry_ML = ~wet_ML[has_M] & (np.arange(wet_ML.shape[1]) > first_M[:, None]) & (minutes_L > start)
    ends_M = dry_ML.any(axis=1)
    if not ends_M.any():
        return NextRain(start, probability, None, None, "members")
    end = _median(minutes_L[dry_ML.argmax(axis=1)[ends_M]])
    dry_share = float((~wet_ML[:, minutes_L == end]).mean())
    return NextRain(start, probability, end, dry_share, "members")


def _median(minutes_N: NDArray[np.int_]) -> int:
    """Return the lower median, which is one of the leads."""
    return int(np.sort(minutes_N)[(minutes_N.size - 1) // 2])


def rain_minutes(
    lead_minutes: Sequence[int],
    rates: Sequence[float | None],
    wet: Sequence[float | None] | None,
    observed_mmh: float | None,
) -> NextRain | None:
    """Return start and end of the next rain of the forecast rate, with the probability of rain at these leads.

    Args:
        lead_minutes: of the rates.
        rates: mm/h; None is unknown.
        wet: probability of rain by lead; None without probabilities.
        observed_mmh: newest scan; where it has rain, that is the start, and certain.
    """
    rains_now = observed_mmh is not None and observed_mmh >= RAIN_MMH
    start = -1 if rains_now else _first(rates, 0, lambda rate: rate >= RAIN_MMH)
    if start is None:
        return None
    end = _first(rates, start + 1, lambda rate: rate < RAIN_MMH)
    starts = 1.0 if rains_now else None if wet is None else wet[start]
    rains_at_end = None if wet is None or end is None else wet[end]
    return NextRain(
        0 if rains_now else lead_minutes[start],
        starts,
        None if end is None else lead_minutes[end],
        None if rains_at_end is None else 1.0 - rains_at_end,
        "rates" if wet is None else "probabilities",
    )


def next_rain(valid_times: tuple[datetime, ...], rates: list[float | None]) -> tuple[datetime | None, datetime | None]:
    """Return the first time with rain and the first dry time after it; None if an unknown time precedes it."""
    start = _first(rates, 0, lambda rate: rate >= RAIN_MMH)
    end = None if start is None else _first(rates, start + 1, lambda rate: rate < RAIN_MMH)
    return None if start is None else valid_times[start], None if end is None else valid_times[end]


def _first(rates: Sequence[float | None], begin: int, fits: Callable[[float], bool]) -> int | None:
    """Return the index of the first fitting rate from `begin` on; None if there is none before an unknown one."""
    for index in range(begin, len(rates)):
        rate = rates[index]
        if rate is None:
            return None
        if fits(rate):
            return index
    return None
