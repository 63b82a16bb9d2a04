"""Frequency bias."""

from dataclasses import dataclass
from typing import ClassVar

from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore


@SCORES.register("bias")
@dataclass(frozen=True)
class Bias(CategoricalScore):
    """(hits + false alarms) / (hits + misses): forecast events per observed one; NaN without an observed event."""

    title: ClassVar[str | None] = "Forecast events per observed one"
    metric: ClassVar[str | None] = "frequency_bias"
    formula: ClassVar[str] = "frequency_bias"
