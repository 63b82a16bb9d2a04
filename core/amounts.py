"""Rain amounts of the next hours, as a forecaster makes them and as a file of members holds them."""

from dataclasses import dataclass

from core.arrays import Float32Field


@dataclass(frozen=True, eq=False)
class ForecastAmounts:
    """Rain amounts from the newest scan on, from ensemble members; on their grid cells, or on those of the forecast.

    Attributes:
        minutes: ends of the periods, ascending; only those within the leads.
        thresholds_mm: ascending.
        probability_SKHW: probability that the amount until the end of a period is at or above each threshold; NaN
            where the newest field is not observed.
        quantiles: ascending, as fractions.
        quantile_mm_SQHW: amounts that are not exceeded with these probabilities.
    """

    minutes: tuple[int, ...]
    thresholds_mm: tuple[float, ...]
    probability_SKHW: Float32Field
    quantiles: tuple[float, ...]
    quantile_mm_SQHW: Float32Field
