"""`python -m training.calibrate --fold CHECKPOINT=EVENT.nc ... --into CHECKPOINT`: calibration by held-out events."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

from core.command import errors_in_one_line
from core.errors import ConfigError
from core.progress import followed
from models import load_forecaster
from models.checkpoint import load_model, read_card, save_model
from models.guided.calibration import Calibration, CalibrationByCell, fitted_knots
from models.guided.forecaster import GuidedForecaster
from training.evaluation.skill_windows import LEADS, SkillWindow, skill_windows, tile_windows

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
THINNING: Final = 3
"""Step along both axes at which cells are sampled: neighbouring cells carry the same information."""
TILE_M: Final = 256_000.0
"""Edge of the squares, as large as the area of one radar, on whose cells of 2 km the second calibration is fitted."""
Pairs = dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]
Kind = list[tuple[float, Pairs]]
"""Held-out data of one cell size: by event, the edge of a cell in metres and the pairs of probability and rate."""


@app.command()
def main(
    fold: Annotated[list[str], typer.Option(help="CHECKPOINT=EVENT.nc: trained without the event, applied to it")],
    into: Annotated[Path, typer.Option(help="the checkpoint whose card gets the calibration")],
    correction: Annotated[
        float | None, typer.Option(min=0, max=1, help="share of the network's correction that counts from now on")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="evaluate every N-th window only")] = 1,
) -> None:
    """Fit an isotonic calibration by cell size, lead and threshold to held-out events of equal weight.

    There are two sizes: whole events on 124 x 124 cells, and squares of 256 km of them on the same number of cells.
    """
    with errors_in_one_line():
        kinds, rates_mmh = held_out(fold, correction=correction, every=every)
        calibration = by_cell(kinds, rates_mmh)
        card = {**read_card(into), "calibration": calibration.to_dict()}
        if correction is not None:
            card["architecture"]["options"]["correction"] = correction
        card["calibrated_on"] = [text.rpartition("/")[2] for text in fold]
        save_model(into, load_model(into), card)
        sizes = " and ".join(f"{pixel_m:.0f} m" for pixel_m in calibration.pixels_m)
        typer.echo(f"wrote the calibration of {len(fold)} held-out events for cells of {sizes} into {into}")


def held_out(folds: list[str], *, correction: float | None, every: int) -> tuple[list[Kind], tuple[float, ...]]:
    """Return probabilities and rates of squares and of whole events, and the thresholds.

    Args:
        folds: CHECKPOINT=EVENT.nc texts.
        correction: share of the network's correction that counts; None leaves the checkpoint's own.
        every: evaluate every N-th window only.

    Raises:
        ConfigError: a checkpoint that is not of a guided model.
    """
    squares: Kind = []
    whole: Kind = []
    rates_mmh: tuple[float, ...] = ()
    for text in folds:
        checkpoint, _, event = text.rpartition("=")
        forecaster = _uncalibrated(checkpoint, correction)
        rates_mmh = forecaster.thresholds_mmh
        for kind, windows in (
            (squares, list(tile_windows(Path(event), TILE_M, every=every))),
            (whole, list(skill_windows(Path(event), short=True, every=every))),
        ):
            if windows:
                kind.append((windows[0].pixel_m, collected(forecaster, windows)))
    return [kind for kind in (squares, whole) if kind], rates_mmh


def _uncalibrated(checkpoint: str, correction: float | None) -> GuidedForecaster:
    forecaster = load_forecaster(Path(checkpoint), precision="float32")
    if not isinstance(forecaster, GuidedForecaster):
        raise ConfigError(f"fold: expected a guided checkpoint, which has probabilities, got {checkpoint}")
    forecaster.calibration = None
    if correction is not None:
        forecaster.model.correction = correction
    return forecaster


def collected(forecaster: GuidedForecaster, windows: Iterable[SkillWindow]) -> Pairs:
    """Return probabilities (N, K) and observed rates (N,) by lead."""
    found: dict[int, list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    for window in followed(windows, "window"):
        fields = forecaster.forecast(window.past_THW, LEADS, cadence_minutes=30.0)
        probability_KLHW = fields.exceedance_probability_KLHW
        assert probability_KLHW is not None  # a guided model always has probabilities
        compared_LHW = window.compared_LHW.copy()
        compared_LHW[:, 1::THINNING] = compared_LHW[:, 2::THINNING] = False
        compared_LHW[:, :, 1::THINNING] = compared_LHW[:, :, 2::THINNING] = False
        for lead, compared_HW in enumerate(compared_LHW):
            if compared_HW.any():
                pair = (probability_KLHW[:, lead][:, compared_HW].T, window.future_LHW[lead][compared_HW])
                found.setdefault(lead, []).append(pair)
    return {
        lead: (np.concatenate([probability for probability, _ in pairs]), np.concatenate([rate for _, rate in pairs]))
        for lead, pairs in found.items()
    }


def by_cell(kinds: Iterable[Kind], rates_mmh: tuple[float, ...]) -> CalibrationByCell:
    """Fit a calibration to each kind of held-out windows, at the geometric mean of its cell sizes; smallest first."""
    found = {
        float(np.exp(np.log([pixel_m for pixel_m, _ in kind]).mean())): fitted([pairs for _, pairs in kind], rates_mmh)
        for kind in kinds
    }
    return CalibrationByCell(tuple(sorted(found)), tuple(found[pixel_m] for pixel_m in sorted(found)))


def fitted(events: list[Pairs], rates_mmh: tuple[float, ...]) -> Calibration:
    """Fit knots by lead and threshold; events have equal weight, and neighbouring leads count with a quarter of it.

    A lead that no event has, since all are too short, gets the knots of the last one that some event has.
    """
    by_lead: list[tuple[Any, ...]] = []
    for lead in range(LEADS):
        if by_lead and not any(lead in event for event in events):
            by_lead.append(by_lead[-1])
            continue
        probabilities, rates, weights = [], [], []
        for near in range(max(lead - 1, 0), min(lead + 2, LEADS)):
            for probability_NK, rate_N in (event[near] for event in events if near in event):
                probabilities.append(probability_NK)
                rates.append(rate_N)
                weights.append(np.full(len(rate_N), (1.0 if near == lead else 0.25) / len(rate_N)))
        probability_NK, rate_N, weight_N = np.concatenate(probabilities), np.concatenate(rates), np.concatenate(weights)
        by_lead.append(
            tuple(
                fitted_knots(probability_NK[:, number].astype(np.float64), rate_N >= mmh, weight_N)
                for number, mmh in enumerate(rates_mmh)
            )
        )
    return Calibration(tuple(by_lead))


if __name__ == "__main__":
    app()
