"""Names of the methods that every forecast is compared with; `models.baselines` has the methods."""

from typing import Final

BASELINES: Final = ("persistence", "extrapolation")
"""In the order of tables, the simplest first: where a model fails, the last one that works replaces it."""
