"""The native model as a forecaster: on the source's own grid and cadence, lead by lead."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.arrays import Float32Field
from models.device import pick_device
from models.fields import ForecastFields
from models.forecaster import Forecaster
from models.guided.carry import CarriedUnits
from models.guided.correction import LeadCorrections
from models.guided.cuts import ExpectedCuts, edge_distance_km, frequencies, lower_inflow, tail_exponent
from models.guided.levels import padded, window_levels
from models.guided.members import EnsembleMembers, seed_of
from models.guided.moving import corrected_KN
from models.guided.pointwise import PointwiseModel
from models.guided.trajectories import FASTEST_KMH, Trajectories, fields_used, trajectories
from models.leads import ForecastLead, collected

HALF_SEEN: Final = 0.5
"""Observed share of a cell's origin from which on its forecast counts as known."""


class NewestScan(NamedTuple):
    """What the leads need of the newest field.

    Attributes:
        covered_HW: where it is observed.
        shares_K: of `frequencies`.
        tail: exponent of its rates beyond the highest threshold.
        edge_km_HW: distance to what is not observed, if no motion says where the rain of a cell is now; else None.
    """

    covered_HW: Tensor
    shares_K: tuple[float, ...]
    tail: float
    edge_km_HW: Float32Field | None

    def known_HW(self, traced_HW: Tensor, minutes: float) -> Tensor:
        """Return where a forecast rests on an observation, of the cells whose traced origin is observed.

        Without motion these are the cells that rain of the highest speed cannot reach from what is not observed.
        """
        if self.edge_km_HW is None:
            return traced_HW
        far_HW = self.edge_km_HW > FASTEST_KMH * minutes / 60
        return traced_HW & torch.from_numpy(far_HW).to(traced_HW.device)


class NativeForecaster(Forecaster):
    """Exceedance probabilities and a rate that never contradicts them, on cells of 0.25 to 10 km every 5 to 30 minutes.

    Motion, blurs and statistics are in kilometres and minutes, so that one set of weights serves every source. The
    fields of the last hour count. Leads are computed one after the other.

    Attributes:
        thresholds_mmh: of the exceedance probabilities.
        cuts: how the deterministic rate follows from them.
    """

    minimum_steps: ClassVar[int] = 2
    any_scale: ClassVar[bool] = True
    makes_members: ClassVar[bool] = True

    def __init__(
        self,
        model: PointwiseModel,
        name: str,
        version: str,
        *,
        device: str = "auto",
        input_steps: int = 25,
        cadence_minutes: int = 5,
        pixel_m: float = 1000.0,
        cuts: ExpectedCuts | None = None,
    ) -> None:
        super().__init__(name, version, input_steps=input_steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m)
        self.device = pick_device(device)
        self.model = model.to(self.device).eval()
        self.thresholds_mmh = tuple(model.rates_mmh)
        self.cuts = cuts or ExpectedCuts()

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> list[ForecastFields]:
        each = (self._leads(fields_THW, lead_steps, cadence_minutes, pixel_m) for fields_THW in rate_mmh_BTHW)
        return [collected(leads, lead_steps, self.thresholds_mmh) for leads in each]

    def _forecast_members(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float, members: int
    ) -> list[ForecastFields]:
        if not members:
            return self._forecast_batch(rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m)
        return [
            self._with_members(fields_THW, lead_steps, cadence_minutes, pixel_m, members)
            for fields_THW in rate_mmh_BTHW
        ]

    def _with_members(
        self, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float, members: int
    ) -> ForecastFields:
        ensemble = EnsembleMembers(
            rate_mmh_THW,
            lead_steps,
            cadence_minutes=cadence_minutes,
            pixel_m=pixel_m,
            members=members,
            seed=seed_of(rate_mmh_THW[-1]),
        )
        members_MLHW = np.empty((members, lead_steps, *ensemble.shape), np.float32)

        def with_each() -> Iterator[ForecastLead]:
            for lead in self._leads(rate_mmh_THW, lead_steps, cadence_minutes, pixel_m, ensemble.paths):
                assert lead.exceedance_probability_KHW is not None  # the native model always has them
                found = ensemble.at(lead.step, lead.exceedance_probability_KHW, self.thresholds_mmh)
                members_MLHW[:, lead.step - 1] = found
                yield lead

        fields = collected(with_each(), lead_steps, self.thresholds_mmh)
        return replace(
            fields,
            members_MLHW=members_MLHW,
            probability_grid_factor=ensemble.factor,
            amounts=ensemble.amounts(),
        )

    @torch.inference_mode()
    def _leads(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int,
        cadence_minutes: float,
        pixel_m: float,
        paths: Trajectories | None = None,
    ) -> Iterator[ForecastLead]:
        """Yield the leads; `paths` are the trajectories of the same input where they are known already."""
        shape, pixel_km = (rate_mmh_THW.shape[1], rate_mmh_THW.shape[2]), pixel_m / 1000
        fields_THW = padded(rate_mmh_THW[-fields_used(cadence_minutes) :], pixel_km)
        if paths is None:
            paths = trajectories(fields_THW, lead_steps, cadence_minutes, pixel_km)
        levels = window_levels(fields_THW, shape, paths, cadence_minutes, pixel_km)
        units = CarriedUnits(levels, paths, self.model, pixel_km, self.device)
        newest = self._newest(rate_mmh_THW[-1], paths, pixel_km)
        motion = paths.stated(shape, pixel_km)
        has_network = self.model.network is not None
        network = LeadCorrections(units, fields_THW, paths, cadence_minutes) if has_network else None
        for step in range(1, lead_steps + 1):
            lead = self._lead(units, network, step, step * cadence_minutes, newest)
            yield replace(lead, motion=motion)

    def _newest(self, rate_mmh_HW: Float32Field, paths: Trajectories, pixel_km: float) -> NewestScan:
        covered_HW = np.isfinite(rate_mmh_HW)
        seen_N = rate_mmh_HW[covered_HW]
        shares_K = frequencies(seen_N, pixel_km, self.thresholds_mmh)
        edge_km_HW = None if paths.estimated else edge_distance_km(covered_HW, pixel_km)
        tail = tail_exponent(seen_N, self.thresholds_mmh[-1])
        return NewestScan(torch.from_numpy(covered_HW).to(self.device), shares_K, tail, edge_km_HW)

    def _lead(
        self, units: CarriedUnits, network: LeadCorrections | None, step: int, minutes: float, newest: NewestScan
    ) -> ForecastLead:
        covered_HW, (rows, cols) = newest.covered_HW, newest.covered_HW.shape
        own_GHW = None if network is None else network.at(step, minutes)
        probability_KHW = torch.empty(len(self.thresholds_mmh), rows, cols, device=self.device)
        known_HW = torch.empty(rows, cols, dtype=torch.bool, device=self.device)
        for band in units.bands(step, minutes):
            own_KN = self.model.logits(band.sum_NU.T)
            if network is not None and own_GHW is not None:
                own_KN = corrected_KN(own_KN, own_GHW[:, band.rows].flatten(1), network.mix_KG)
            own_KN = self.model.calibrated_KN(own_KN)
            own_KN.masked_fill_(~covered_HW[band.rows].flatten(), torch.nan)
            probability_KHW[:, band.rows] = own_KN.view(len(own_KN), -1, cols)
            known_HW[band.rows] = (band.seen_N >= HALF_SEEN).view(-1, cols) & covered_HW[band.rows]
        known_HW = newest.known_HW(known_HW, minutes)
        lower_inflow(probability_KHW, known_HW.cpu().numpy(), units.pixel_km, self.thresholds_mmh, newest.shares_K)
        probability_KN = probability_KHW.flatten(1)
        rate_N = self.cuts.rate_mmh(probability_KN, self.thresholds_mmh, newest.tail)
        self.cuts.raise_stated(probability_KN, rate_N, self.thresholds_mmh)
        fields = rate_N.view(rows, cols), known_HW, probability_KHW
        rate_HW, known_HW, probability_KHW = (each.cpu() for each in fields)
        return ForecastLead(step, rate_HW.numpy(), known_HW.numpy(), probability_KHW.numpy())
