"""`python -m training.native_checks --data EVENT.nc ...`: contradictions, ghosts, drizzle and texture of forecasts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Final

import torch
import typer

from core.command import errors_in_one_line
from core.errors import ConfigError
from models import Forecaster
from training.evaluation.event_run import EventPlan
from training.evaluation.event_windows import ANY_LENGTH, EventWindow, event_windows
from training.evaluation.field_checks import (
    SHORTEST_KM,
    TEXTURE_FACTOR,
    LowBins,
    beyond,
    contradictions,
    ghost,
    low_bins,
    texture,
)
from training.native_samples import blocks
from training.native_skill import EventData, Folds, SpellRun, runs_of
from training.skill import command_line
from verification.scores.power_spectrum import PowerBands

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
MOST_GHOST: Final = 0.1
DRIZZLE_MMH: Final = (0.1, 0.5)
SCORED_MEMBERS: Final = 4
"""Members whose texture is measured; all of them are made, since their number shapes the texture."""


@dataclass
class Checked:
    """What was found in the windows of one spell.

    Attributes:
        contradictions: cells by threshold, over all leads.
        ghosts: by reference time.
        low: low probabilities by threshold, over all scored leads.
        power: of members, by lead in minutes.
        windows: number of forecasts.
    """

    contradictions: dict[float, int] = field(default_factory=dict)
    ghosts: dict[str, float] = field(default_factory=dict)
    low: dict[float, LowBins] = field(default_factory=lambda: {mmh: LowBins() for mmh in DRIZZLE_MMH})
    power: dict[int, PowerBands] = field(default_factory=dict)
    windows: int = 0

    @property
    def faults(self) -> list[str]:
        """Return the checks that failed."""
        ghosts = [one for one in self.ghosts.values() if one > MOST_GHOST]
        bands = [band for power in self.power.values() for band in beyond(power)]
        found = {
            "contradictions": any(self.contradictions.values()),
            f"{len(ghosts)} ghosts": bool(ghosts),
            f"{len(bands)} bands of texture": bool(bands),
        }
        return [name for name, failed in found.items() if failed]


@app.command()
def main(
    data: EventData,
    checkpoint: Annotated[str, typer.Option(help="of the unseen spells")] = "default",
    fold: Folds = [],  # noqa: B006
    windows: Annotated[int, typer.Option(min=1, help="most windows of a spell, evenly chosen")] = 4,
    members: Annotated[int, typer.Option(min=0, help="ensemble members whose texture is checked")] = 0,
) -> None:
    """Count contradictions, ghosts of the newest scan, low probabilities and the members' texture; fail on a fault."""
    with errors_in_one_line():
        torch.set_num_threads(1)
        runs = runs_of(data, checkpoint, fold)
        typer.echo(f"```text\n{command_line('training.native_checks')}\n```\n")
        faults = 0
        for run in runs:
            found = checked(run, windows, members)
            typer.echo("\n".join(_lines(run, found)) + "\n")
            faults += len(found.faults)
    raise typer.Exit(int(faults > 0))


def checked(run: SpellRun, windows: int, members: int = 0) -> Checked:
    """Return what the checks find in some windows of a spell.

    Args:
        run: the spell and its forecaster.
        windows: most windows.
        members: ensemble members; 0 leaves their texture out.
    """
    plan = EventPlan(run.files, ANY_LENGTH, most_windows=windows)
    counts, found = plan.found(), Checked()
    for path, place in plan.places(counts):
        (window,) = event_windows(path, ANY_LENGTH, shard=(place, counts[path]))
        _check_window(run.forecaster, window, found)
        if members:
            _check_members(run.forecaster, window, members, found)
    return found


def _check_window(forecaster: Forecaster, window: EventWindow, found: Checked) -> None:
    steps = window.lead_minutes[-1] // window.cadence_minutes
    spacing = {"cadence_minutes": window.cadence_minutes, "pixel_m": window.pixel_m}
    for lead in forecaster.leads(window.past_THW, steps, **spacing):
        probability_KHW, thresholds = lead.exceedance_probability_KHW, forecaster.thresholds_mmh
        if probability_KHW is None:
            raise ConfigError(f"checkpoint: expected a forecaster with probabilities, got {forecaster.name}")
        for mmh, count in contradictions(lead.rate_mmh_HW, probability_KHW, thresholds).items():
            found.contradictions[mmh] = found.contradictions.get(mmh, 0) + count
        minutes = lead.step * window.cadence_minutes
        if minutes in window.lead_minutes:
            observed_HW = window.future_LHW[window.lead_minutes.index(minutes)]
            for mmh in DRIZZLE_MMH:
                found.low[mmh] += low_bins(probability_KHW[thresholds.index(mmh)], observed_HW, mmh)
            if lead.step == steps and (value := ghost(lead.rate_mmh_HW, window.past_THW[-1], observed_HW)) is not None:
                found.ghosts[f"{window.reference_time:%d %H:%M}"] = value
    found.windows += 1


def _check_members(forecaster: Forecaster, window: EventWindow, members: int, found: Checked) -> None:
    steps = window.lead_minutes[-1] // window.cadence_minutes
    spacing = {"cadence_minutes": window.cadence_minutes, "pixel_m": window.pixel_m}
    fields = forecaster.forecast(window.past_THW, steps, **spacing, members=members)
    if fields.members_MLHW is None:
        raise ConfigError(f"checkpoint: expected a forecaster with members, got {forecaster.name}")
    factor = fields.probability_grid_factor
    for index, minutes in enumerate(window.lead_minutes):
        step = minutes // window.cadence_minutes - 1
        observed_HW = blocks(window.future_LHW[index], factor)
        rows, cols = observed_HW.shape
        known_HW = fields.known_LHW[step, ::factor, ::factor][:rows, :cols]
        chosen_MHW = fields.members_MLHW[:SCORED_MEMBERS, step, :rows, :cols]
        power = texture(chosen_MHW, observed_HW, known_HW, window.pixel_m * factor)
        found.power[minutes] = found.power.get(minutes, PowerBands()) + power


def _lines(run: SpellRun, found: Checked) -> Iterator[str]:
    faults = ", ".join(found.faults) or "none"
    yield f"{run.spell}: {found.windows} windows of {run.forecaster.name} {run.forecaster.version}; faults: {faults}"
    yield "  contradictions, cells: " + ", ".join(f"{mmh:g} mm/h {n}" for mmh, n in found.contradictions.items())
    ghosts = ", ".join(f"{time} {value:+.2f}" for time, value in found.ghosts.items())
    yield f"  correlation of the last lead with the newest scan, less that with the observation: {ghosts or '-'}"
    for mmh, bins in found.low.items():
        points = ", ".join(f"{p:.4f}: {frequency:.4f} ({cells:,})" for p, frequency, cells in bins.points())
        yield f"  probability below 0.1 of {mmh:g} mm/h: observed frequency (cells): {points}"
    for minutes, power in found.power.items():
        yield f"  members' power to the observed one from {SHORTEST_KM:g} km, +{minutes}: {_ratios(power)}"
    if found.power:
        yield f"  expected from {1 / TEXTURE_FACTOR:.2f} to {TEXTURE_FACTOR:g}"


def _ratios(power: PowerBands) -> str:
    return ", ".join(f"{km:.0f} km {ratio:.2f}" for km, ratio, _ in power.ratios() if km >= SHORTEST_KM)


if __name__ == "__main__":
    app()
