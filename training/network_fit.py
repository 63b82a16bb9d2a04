"""Training of the native model's network on whole windows: crops, the loss, and a loop that can go on at any step."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ConfigError
from models.guided.correction import fields_of_lead, mix_of
from models.guided.moving import MovingCorrection, corrected_KN
from models.guided.network import RATES_MMH
from models.guided.pointwise import calibrated_logits
from training.network_samples import LeadCells, NetworkWindow

CROP: Final = 96
"""Edge of a crop in the network's cells."""
UNKNOWN_WEIGHT: Final = 0.25
"""Weight of cells whose origin was not observed."""
RATE_WEIGHTS: Final = (0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.25)
"""Of the entropies of the thresholds, each relative to the statistical model's; few cells reach the last ones."""
CSI_MMH: Final = (0.5, 2.0, 5.0)
AREA_PRIOR: Final = 20.0
"""Cells that are added to the denominator of the soft CSI, so that a dry crop has a smooth one."""
AVERAGING: Final = 0.995
SCALE_WINDOWS: Final = 80
"""Windows from which the statistical model's entropy is estimated."""
WARM_UP: Final = 0.05
PRECISION: Final = torch.bfloat16


@dataclass(frozen=True)
class NetworkOptions:
    """Settings of a training.

    Attributes:
        model: name of the stack, such as ms-convlstm or convlstm.
        hidden_channels, num_layers, centred: see `MovingCorrection`.
        steps: of the optimiser; the learning rate falls until the last one.
        windows: crops of a step.
        learning_rate, decay: of AdamW.
        csi: weight of a soft CSI.
        strength: factor of the fields afterwards; the training is at full strength.
        seed: of the first weights and of the order.
    """

    model: str = "ms-convlstm"
    hidden_channels: int = 24
    num_layers: int = 6
    centred: bool = True
    steps: int = 6000
    windows: int = 2
    learning_rate: float = 3e-3
    decay: float = 0.02
    csi: float = 0.0
    strength: float = 1.0
    seed: int = 0

    @property
    def architecture(self) -> dict[str, object]:
        """Return the options of the network."""
        names = ("hidden_channels", "num_layers", "centred", "strength")
        return {"name": self.model} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class PlacedCells:
    """Cells of a lead time on a crop.

    Attributes:
        place_N2: column and row of the origin, -1 to 1 across the crop.
        logits_KN: of the statistical model.
        above_N: how many thresholds the observed rate reaches.
        known_N: whether the origin was observed.
    """

    place_N2: Tensor
    logits_KN: Tensor
    above_N: Tensor
    known_N: Tensor


@dataclass(frozen=True)
class CropOfWindow:
    """A square of a window, turned and mirrored."""

    frames_TCHW: Tensor
    prior_LKHW: Tensor
    cells: dict[int, PlacedCells]


def crop_of(window: NetworkWindow, random: np.random.Generator, edge: int = CROP) -> tuple[slice, slice]:
    """Return the wetter of two random squares, at even cells; all of a side that is shorter."""
    rows, cols = window.frames_TCHW.shape[-2:]
    found = []
    for _ in range(2):
        top, left = (2 * int(random.integers(0, max(side - edge, 0) // 2 + 1)) for side in (rows, cols))
        found.append((slice(top, min(top + edge, rows)), slice(left, min(left + edge, cols))))
    return max(found, key=lambda part: float(window.frames_TCHW[-1, 1][part].sum(dtype=np.float32)))


def turned(window: NetworkWindow, part: tuple[slice, slice], turns: int, mirror: bool) -> CropOfWindow:
    """Return a crop after quarter turns, with the cells whose origin is in it, or beyond the field's own edge."""

    def fields(whole: NDArray[np.float16]) -> Tensor:
        own = np.rot90(whole[..., part[0], part[1]], turns, (-2, -1))
        return torch.from_numpy(np.ascontiguousarray(own[..., ::-1] if mirror else own)).float()

    cells = {one.minutes: _placed(one, window.frames_TCHW.shape[-2:], part, turns, mirror) for one in window.cells}
    return CropOfWindow(fields(window.frames_TCHW), fields(window.prior_LKHW), cells)


def _placed(
    lead: LeadCells, shape: tuple[int, ...], part: tuple[slice, slice], turns: int, mirror: bool
) -> PlacedCells:
    place_N2, keep_N = np.empty_like(lead.origin_N2), np.ones(len(lead.origin_N2), np.bool_)
    for axis, side, own in ((0, shape[1], part[1]), (1, shape[0], part[0])):
        origin_N = lead.origin_N2[:, axis]
        keep_N &= (origin_N >= own.start) | (own.start == 0)
        keep_N &= (origin_N <= own.stop - 1) | (own.stop == side)
        place_N2[:, axis] = (origin_N - own.start + 0.5) / (own.stop - own.start) * 2 - 1
    right_N, down_N = place_N2[keep_N].T
    for _ in range(turns):
        right_N, down_N = down_N, -right_N
    return PlacedCells(
        torch.from_numpy(np.stack([-right_N if mirror else right_N, down_N], axis=1)),
        torch.from_numpy(lead.logits_NK[keep_N]).float().T.contiguous(),
        torch.from_numpy(lead.above_N[keep_N]),
        torch.from_numpy(lead.known_N[keep_N]),
    )


def corrected_cells(fields_LGHW: Tensor, minutes: float, cells: PlacedCells) -> Tensor:
    """Return the corrected logits (K, N) of cells of a lead time."""
    fields_BGHW = fields_of_lead(fields_LGHW, minutes)[None]
    place_B1N2 = cells.place_N2[None, None]
    fields_GN = F.grid_sample(fields_BGHW, place_B1N2, padding_mode="border", align_corners=False)[0, :, 0]
    return corrected_KN(cells.logits_KN, fields_GN, mix_of(RATES_MMH))


def events_of(above_N: Tensor) -> Tensor:
    """Return whether each threshold was reached (K, N)."""
    return (above_N[None] > torch.arange(len(RATES_MMH))[:, None]).float()


def entropies(logits_KN: Tensor, cells: PlacedCells) -> Tensor:
    """Return the cross entropies of calibrated logits by threshold, summed over weighted cells."""
    weight_N = torch.where(cells.known_N, 1.0, UNKNOWN_WEIGHT)
    calibrated_KN, event_KN = calibrated_logits(logits_KN, RATES_MMH), events_of(cells.above_N)
    return F.binary_cross_entropy_with_logits(calibrated_KN, event_KN, reduction="none") @ weight_N


def soft_csi(logits_KN: Tensor, cells: PlacedCells) -> Tensor:
    """Return 1 less the mean CSI of the probabilities themselves at `CSI_MMH`."""
    rows = [RATES_MMH.index(mmh) for mmh in CSI_MMH]
    chance_KN = calibrated_logits(logits_KN, RATES_MMH)[rows].sigmoid()
    event_KN = events_of(cells.above_N)[rows]
    hits_K = (chance_KN * event_KN).sum(1)
    return 1 - (hits_K / ((chance_KN + event_KN).sum(1) - hits_K + AREA_PRIOR)).mean()


def scale_of(windows: Sequence[NetworkWindow]) -> dict[int, Tensor]:
    """Return the mean cross entropy of the statistical model by lead time and threshold."""
    sums: dict[int, Tensor] = {}
    weights: dict[int, float] = {}
    for window in windows:
        whole = slice(0, window.frames_TCHW.shape[-2]), slice(0, window.frames_TCHW.shape[-1])
        for minutes, cells in turned(window, whole, 0, False).cells.items():
            sums[minutes] = sums.get(minutes, torch.zeros(())) + entropies(cells.logits_KN, cells)
            known = int(cells.known_N.sum())
            total = known + UNKNOWN_WEIGHT * (len(cells.known_N) - known)
            weights[minutes] = weights.get(minutes, 0.0) + total
    return {minutes: (entropy_K / weights[minutes]).clamp_min(1e-4) for minutes, entropy_K in sums.items()}


class NetworkFit:
    """A training that can be stopped and goes on at any step.

    Args:
        windows: what it learns from; a spell's weight is the square root of its number of windows.
        options: settings.

    Attributes:
        model: with the weights of the last step.
        average: the running mean of the weights of all steps, which is what counts.
        step: number of steps so far.
        gain: running mean of the difference to the statistical model's entropy, as a share of it.

    Raises:
        ConfigError: no window.
    """

    def __init__(self, windows: Sequence[NetworkWindow], options: NetworkOptions) -> None:
        if not windows:
            raise ConfigError("windows: expected at least one window to learn from, got none")
        torch.manual_seed(options.seed)
        self.windows, self.options = list(windows), options
        self.model = MovingCorrection(**options.architecture | {"strength": 1.0})  # type: ignore[arg-type]
        counts = Counter(one.spell for one in windows)
        weight_N = np.array([counts[one.spell] ** -0.5 for one in windows])
        self.chance_N = weight_N / weight_N.sum()
        some = np.random.default_rng(1).choice(len(windows), min(SCALE_WINDOWS, len(windows)), False, self.chance_N)
        self.scale = scale_of([self.windows[index] for index in some])
        self.optimiser = torch.optim.AdamW(self.model.parameters(), options.learning_rate, weight_decay=options.decay)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.step, self.gain = 0, 0.0

    @property
    def learning_rate(self) -> float:
        """Return the learning rate of the next step: linearly up, then down by half a cosine."""
        share = min((self.step + 0.5) / self.options.steps, 1.0)
        return float(self.options.learning_rate * min(share / WARM_UP, 0.5 * (1 + np.cos(np.pi * share)) + 0.01))

    def advance(self) -> None:
        """Make one step."""
        random = np.random.default_rng((self.options.seed, self.step))
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate
        self.optimiser.zero_grad()
        gains = []
        for index in random.choice(len(self.windows), self.options.windows, p=self.chance_N):
            loss, gain = self._loss(self.windows[index], random)
            (loss / self.options.windows).backward()  # type: ignore[no-untyped-call]
            gains.append(gain)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self.gain += (float(np.mean(gains)) - self.gain) * max(0.01, 1 / self.step)
        keep = min(AVERAGING, self.step / (self.step + 20))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)

    def _loss(self, window: NetworkWindow, random: np.random.Generator) -> tuple[Tensor, float]:
        """Return the loss of a random crop, and its difference to that of the statistical model."""
        crop = turned(window, crop_of(window, random), int(random.integers(4)), bool(random.integers(2)))
        with torch.autocast("cpu", PRECISION):
            fields_BLGHW = self.model(crop.frames_TCHW[None], crop.prior_LKHW[None], window.cell_km)
        weight_K, losses, gain = torch.tensor(RATE_WEIGHTS), [fields_BLGHW.float().sum() * 0.0], 0.0
        for minutes, cells in crop.cells.items():
            share_K = weight_K / weight_K.sum() / self.scale.get(minutes, torch.ones(())) / CROP**2
            logits_KN = corrected_cells(fields_BLGHW[0].float(), minutes, cells)
            losses.append((entropies(logits_KN, cells) * share_K).sum())
            gain += float(losses[-1].detach() - (entropies(cells.logits_KN, cells) * share_K).sum())
            if self.options.csi:
                losses.append(self.options.csi * soft_csi(logits_KN, cells))
        return torch.stack(losses).sum() / max(len(crop.cells), 1), gain / max(len(crop.cells), 1)

    def save(self, path: Path) -> None:
        """Write what is needed to go on."""
        names = ("average", "step", "gain")
        state = {name: getattr(self, name) for name in names} | {"options": vars(self.options)}
        state |= {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def resume(self, path: Path) -> None:
        """Continue from a file of `save`.

        Raises:
            ConfigError: it is of a training with other settings; the number of steps and the strength may be changed.
        """
        state = torch.load(path, weights_only=True)
        changed = {name for name, value in vars(self.options).items() if value != state["options"].get(name)}
        if changed - {"steps", "strength"}:
            raise ConfigError(f"run: expected the settings of {path}, got others for {', '.join(sorted(changed))}")
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.step, self.gain = state["average"], state["step"], state["gain"]

    @property
    def averaged(self) -> MovingCorrection:
        """Return a network with the mean weights."""
        model = MovingCorrection(**self.options.architecture)  # type: ignore[arg-type]
        model.load_state_dict(self.average)
        return model.eval()
