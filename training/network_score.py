"""Scores of a network on the cells of windows, against the same forecast without it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.guided.cuts import ExpectedCuts
from models.guided.moving import MovingCorrection
from models.guided.network import RATES_MMH
from models.guided.pointwise import PointwiseModel
from training.network_fit import PlacedCells, corrected_cells, events_of, turned
from training.network_samples import NetworkWindow

SCORED_MMH: Final = (0.1, 0.5, 2.0, 5.0, 10.0)
CUTS: Final = ExpectedCuts()


@dataclass
class CellSums:
    """Sums over known cells by threshold.

    Attributes:
        squared_K: squared errors of the probabilities.
        counts_CK: hits, misses and false alarms of the rates shown.
        cells: number of cells.
    """

    squared_K: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(RATES_MMH)))
    counts_CK: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, len(RATES_MMH)), np.int64))
    cells: int = 0

    def add(self, probability_KN: Tensor, cells: PlacedCells) -> None:
        """Add the cells of one window and lead; the rates shown are those of the model's cuts."""
        event_KN = events_of(cells.above_N)[:, cells.known_N]
        rate_N = CUTS.rate_mmh(probability_KN, RATES_MMH)[cells.known_N]
        shown_KN, seen_KN = rate_N[None] >= torch.tensor(RATES_MMH)[:, None], event_KN > 0
        self.squared_K += (probability_KN[:, cells.known_N] - event_KN).square().sum(1).double().numpy()
        for number, both_KN in enumerate((shown_KN & seen_KN, ~shown_KN & seen_KN, shown_KN & ~seen_KN)):
            self.counts_CK[number] += both_KN.sum(1).numpy()
        self.cells += event_KN.shape[1]

    @property
    def brier_K(self) -> NDArray[np.float64]:
        """Return the Brier score by threshold."""
        return np.asarray(self.squared_K / max(self.cells, 1))

    @property
    def csi_K(self) -> NDArray[np.float64]:
        """Return the critical success index by threshold, 0 where there is nothing to hit."""
        return np.asarray(self.counts_CK[0] / np.maximum(self.counts_CK.sum(0), 1))

    @property
    def bias_K(self) -> NDArray[np.float64]:
        """Return the frequency bias by threshold."""
        hits_K, misses_K, false_K = self.counts_CK
        return np.asarray((hits_K + false_K) / np.maximum(hits_K + misses_K, 1))


Pairs = dict[int, tuple[CellSums, CellSums]]
"""Sums without and with the network, by lead time in minutes."""


@torch.inference_mode()
def scored_windows(network: MovingCorrection, windows: Sequence[NetworkWindow]) -> Pairs:
    """Return the sums of whole windows."""
    calibrate = PointwiseModel().calibrated_KN
    found: Pairs = {}
    for window in windows:
        whole = turned(window, tuple(slice(0, side) for side in window.frames_TCHW.shape[-2:]), 0, False)  # type: ignore[arg-type]
        fields_LGHW = network(whole.frames_TCHW[None], whole.prior_LKHW[None], window.cell_km)[0]
        for minutes, cells in whole.cells.items():
            without, with_network = found.setdefault(minutes, (CellSums(), CellSums()))
            without.add(calibrate(cells.logits_KN.clone()), cells)
            with_network.add(calibrate(corrected_cells(fields_LGHW, minutes, cells).contiguous()), cells)
    return dict(sorted(found.items()))


def network_table(pairs: Pairs) -> Iterator[str]:
    """Yield a Markdown table: CSI, Brier score and frequency bias, each in the mean over leads, and CSI by lead."""
    yield "| mm/h | CSI without | with | | Brier score | bias without | with | CSI by lead |"
    yield "|---|---|---|---|---|---|---|---|"
    for mmh in SCORED_MMH:
        k = RATES_MMH.index(mmh)
        csi, brier, bias = (
            [np.array([getattr(pair[part], name)[k] for pair in pairs.values()]) for part in (0, 1)]
            for name in ("csi_K", "brier_K", "bias_K")
        )
        by_lead = ", ".join(f"+{m} {_change(*both)}" for m, *both in zip(pairs, *csi, strict=True))
        yield (
            f"| {mmh:g} | {csi[0].mean():.3f} | {csi[1].mean():.3f} | {_change(csi[0].mean(), csi[1].mean())} "
            f"| {_change(brier[0].mean(), brier[1].mean())} | {bias[0].mean():.2f} | {bias[1].mean():.2f} | {by_lead} |"
        )


def _change(before: float, after: float) -> str:
    return f"{(after / before - 1) * 100:+.1f} %" if before > 0 else "-"
