"""The score table of forecasts: every model on the same grid cells, by lead, threshold, window and mask."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from core.arrays import BoolField, Float32Field
from core.units import THRESHOLDS_MMH
from verification.lead import ComparedLead, Exceedance
from verification.scores import families
from verification.table import SumRow


def score_table(
    forecasts: Mapping[str, Float32Field],
    observed_mmh_THW: Float32Field,
    lead_minutes: Sequence[int],
    thresholds: Sequence[float] = THRESHOLDS_MMH,
) -> list[SumRow]:
    """Return the four counts of forecasts of the same leads against the observation.

    Cells count if the observation and all forecasts of that lead are finite, so that hits + misses, and the sum of the
    four counts, agree between the models.

    Args:
        forecasts: rate in mm/h by model, each (T, H, W).
        observed_mmh_THW: mm/h at the same leads on the same grid; NaN is not observed.
        lead_minutes: one per field.
        thresholds: mm/h.

    Raises:
        ValueError: fields of different shapes, or another number of leads.
    """
    leads = compared_leads(forecasts, observed_mmh_THW, lead_minutes)
    return sums_of(leads, thresholds, only=("counts",))


def compared_leads(
    forecasts: Mapping[str, Float32Field],
    observed_mmh_THW: Float32Field,
    lead_minutes: Sequence[int],
    *,
    covered_HW: BoolField | None = None,
    filled: Sequence[str] = (),
    known_THW: BoolField | None = None,
    exceedance: Mapping[str, Sequence[Exceedance]] | None = None,
    pixel_m: float = 1000.0,
    members: Mapping[str, Float32Field] | None = None,
) -> Iterator[ComparedLead]:
    """Yield one lead after the other, with the grid cells on which all models are compared.

    Args:
        forecasts: rate in mm/h by model, each (T, H, W).
        observed_mmh_THW: mm/h at the same leads on the same grid; NaN is not observed.
        lead_minutes: one per field.
        covered_HW: where the newest scan of the input has a value; None takes every cell.
        filled: models, the baselines, whose missing values count as dry within `covered_HW`.
        known_THW: where the forecasts rest on something observed, one mask for all models (`ForecastFields.known_LHW`
            of extrapolation), so that all have the same cells; None omits the mask `known`.
        exceedance: probabilities by model, one per field.
        pixel_m: edge of a grid cell.
        members: ensemble members by model, each (M, T, H, W).

    Raises:
        ValueError: fields of different shapes, or another number of leads.
    """
    _check_shapes(forecasts, observed_mmh_THW, lead_minutes)
    for index, (minutes, observed_HW) in enumerate(zip(lead_minutes, observed_mmh_THW, strict=True)):
        every_HW = np.isfinite(observed_HW)
        if covered_HW is not None:
            every_HW &= covered_HW
        rates = {}
        for model, rate_mmh_THW in forecasts.items():
            rates[model] = rate_mmh_THW[index]
            if covered_HW is not None and model in filled:
                rates[model] = np.nan_to_num(rates[model], nan=0.0)
            every_HW &= np.isfinite(rates[model])
        masks = {"all": every_HW} if known_THW is None else {"all": every_HW, "known": every_HW & known_THW[index]}
        probabilities = {model: fields[index] for model, fields in (exceedance or {}).items()}
        ensembles = {model: member_MTHW[:, index] for model, member_MTHW in (members or {}).items()}
        yield ComparedLead(minutes, rates, observed_HW, masks, probabilities, pixel_m, ensembles)  # type: ignore[arg-type]


def _check_shapes(
    forecasts: Mapping[str, Float32Field], observed_mmh_THW: Float32Field, lead_minutes: Sequence[int]
) -> None:
    for model, rate_mmh_THW in forecasts.items():
        if rate_mmh_THW.shape != observed_mmh_THW.shape or len(lead_minutes) != len(observed_mmh_THW):
            raise ValueError(
                f"expected {model} of {observed_mmh_THW.shape} for {len(observed_mmh_THW)} leads, "
                f"got {rate_mmh_THW.shape} for {len(lead_minutes)} leads"
            )


def sums_of(
    leads: Iterable[ComparedLead],
    thresholds: Sequence[float],
    windows_km: Sequence[float] = (),
    *,
    only: Sequence[str] | None = None,
    purpose: Literal["service", "evaluation"] = "service",
) -> list[SumRow]:
    """Return the sums of every score of a purpose, in the order of leads, families, masks and models.

    Args:
        leads: forecasts and observation of each lead.
        thresholds: of events of rain, mm/h.
        windows_km: edges of the squares of a neighbourhood.
        only: families of sums; None takes every one.
        purpose: the scores and masks that the service stores, or every score of rain in every mask.
    """
    evaluation = purpose == "evaluation"
    kinds = {
        family: kind
        for family, kind in families("rain", "probabilities", "members").items()
        if (kind.evaluated if evaluation else kind.operational) and (only is None or family in only)
    }
    return [
        replace(row, period_minutes=lead.period_minutes) if lead.period_minutes else row
        for lead in leads
        for family, kind in kinds.items()
        for row in kind.compare(
            family,
            lead,
            thresholds,
            windows_km,
            [mask for mask in lead.masks if evaluation or mask in kind.masks],
        )
    ]
