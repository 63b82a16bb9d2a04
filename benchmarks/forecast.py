"""One forecast at the paper's Germany size: multi-scale against flat, and the shipped default against extrapolation."""

from functools import partial

import numpy as np

from benchmarks.timing import BENCHMARKS, Result, compare
from models import Forecaster, build_model, load_forecaster


@BENCHMARKS.register("forecast")
def forecast() -> list[Result]:
    """5 in, 5 out, 124 x 124, batch 1, 64 channels, float32."""
    rate_mmh_THW = np.random.default_rng(0).gamma(0.3, 3.0, (5, 124, 124)).astype(np.float32)
    results = []
    for cell in ("convlstm", "predrnn"):
        multiscale, flat = (Forecaster.from_model(build_model(name)) for name in (f"ms-{cell}", cell))
        ours = (f"ms-{cell}", partial(multiscale.forecast, rate_mmh_THW))
        results.append(compare("forecast 124x124", ours, (cell, partial(flat.forecast, rate_mmh_THW)), runs=3))
    default, extrapolation = load_forecaster("default"), load_forecaster("extrapolation")
    ours = ("default", partial(default.forecast, rate_mmh_THW))
    theirs = ("pysteps extrapolation", partial(extrapolation.forecast, rate_mmh_THW))
    results.append(compare("forecast 124x124", ours, theirs))
    return results
