"""`pysteps`: extrapolation along the motion, and the STEPS ensemble; neither is trained."""

import contextlib
import importlib
import io
from typing import Any

import numpy as np

from benchmarks.peers.base import PEERS, Peer
from benchmarks.setting import BenchmarkSetting
from core.arrays import Float32Field
from core.units import PAPER_PIXEL_M, WET_MMH
from models import Forecaster, load_forecaster
from models.fields import ForecastFields

MEMBERS = 20
MOTION_FIELDS = 3
DRY_DBR, WET_DBR = -15.0, -10.0


@PEERS.register("pysteps-extrapolation")
def pysteps_extrapolation(setting: BenchmarkSetting) -> Peer:
    """Build the extrapolation that this package serves next to its networks."""
    del setting
    what = "Lucas-Kanade motion and semi-Lagrangian extrapolation"
    return Peer("pysteps", what, load_forecaster("extrapolation"), frames=MOTION_FIELDS)


@PEERS.register("pysteps-steps")
def pysteps_steps(setting: BenchmarkSetting) -> Peer:
    """Build STEPS with its defaults: six cascade levels, AR(2), nonparametric noise."""
    del setting
    return Peer("pysteps", f"STEPS, {MEMBERS} members, 6 cascade levels, mean", Steps(), frames=MOTION_FIELDS)


class Steps(Forecaster):
    """The mean of a STEPS ensemble (Bowler et al. 2006; Pulkkinen et al. 2019)."""

    minimum_steps = MOTION_FIELDS

    def __init__(self) -> None:
        super().__init__("steps", "1", input_steps=MOTION_FIELDS, cadence_minutes=30, pixel_m=PAPER_PIXEL_M)

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> list[ForecastFields]:
        means = [self._mean_LHW(rate_THW, lead_steps, cadence_minutes, pixel_m) for rate_THW in rate_mmh_BTHW]
        pairs = zip(means, rate_mmh_BTHW, strict=True)
        return [ForecastFields.known_in_coverage(mean_LHW, rate_THW[-1]) for mean_LHW, rate_THW in pairs]

    def _mean_LHW(
        self, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Float32Field:
        with contextlib.redirect_stdout(io.StringIO()):
            transformation, lucas_kanade, steps = (
                _part("utils.transformation"),
                _part("motion.lucaskanade"),
                _part("nowcasts.steps"),
            )
            fields_dbr = transformation.dB_transform(
                rate_mmh_THW[-MOTION_FIELDS:].astype(np.float64), threshold=WET_MMH, zerovalue=DRY_DBR
            )[0]
            members_dbr = steps.forecast(
                fields_dbr,
                lucas_kanade.dense_lucaskanade(fields_dbr),
                lead_steps,
                n_ens_members=MEMBERS,
                n_cascade_levels=6,
                precip_thr=WET_DBR,
                kmperpixel=pixel_m / 1000,
                timestep=cadence_minutes,
                seed=1,
            )
        members_mmh = transformation.dB_transform(members_dbr, threshold=WET_DBR, zerovalue=0.0, inverse=True)[0]
        return np.asarray(np.nan_to_num(members_mmh, nan=0.0).mean(axis=0), np.float32)


def _part(name: str) -> Any:
    return importlib.import_module(f"pysteps.{name}")
