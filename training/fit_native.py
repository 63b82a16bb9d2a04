"""`python -m training.fit_native samples --data EVENTS --out SAMPLES`, then `fit --samples SAMPLES --out CHECKPOINT`.

The native model: drawn cells of every spell of weather that may be trained on, then one fit of all lead times and cell
sizes. `fit --without SPELL` leaves one spell out, for scores on weather that the weights have not seen
(`training.native_skill --fold SPELL=CHECKPOINT`).
"""

import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from torch import Tensor

from core.command import errors_in_one_line
from core.errors import ConfigError
from core.progress import followed
from models.checkpoint import save_model
from models.guided.levels import WINDOW
from models.guided.pointwise import PIXELS_KM, PREDICTORS, PointwiseModel, nearness
from training.datasets.event_table import load_table
from training.native_samples import SampleFile, read_samples, write_samples

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
PER_LEAD: Final = 1024
"""Cells of each lead time in one step of the optimiser."""
LEARNING_RATE: Final = 6e-3
DECAY: Final = 1e-4
"""Penalty on squared weights; three times as much on differences between neighbouring lead times and cell sizes."""
DECAY_BY_LEAD: Final = (0.1, 0.3, 1.0, 1.0, 1.0, 1.0)
"""Share of it by lead time of `KNOTS_MINUTES`: single cells count at short ones, so that there is more to learn."""
DECAY_OF_WINDOW: Final = 30.0
"""Factor of the penalty on the window's numbers: they have one value a window, and few spells to be learnt from."""
STATISTICS_CELLS: Final = 200_000


@app.command()
def samples(
    data: Annotated[Path, typer.Option(help="folder of the event files")],
    out: Annotated[Path, typer.Option(help="folder of the samples; what is there already is kept")],
    part: Annotated[int, typer.Option(min=0, help="draw every `parts`-th window only, from this one on")] = 0,
    parts: Annotated[int, typer.Option(min=1, help="number of processes that share the work")] = 1,
) -> None:
    """Draw cells of the events that may be trained on, on their own grid and on one coarser grid and cadence."""
    with errors_in_one_line():
        written = write_samples(data, out, load_table(), part=part, parts=parts)
        typer.echo(f"wrote the samples of {written} windows into {out}")


@app.command()
def fit(
    samples: Annotated[Path, typer.Option(help="folder of the samples")],
    out: Annotated[Path, typer.Option(help="folder of the checkpoint")],
    without: Annotated[str | None, typer.Option(help="name of a spell that is left out")] = None,
    hidden: Annotated[int, typer.Option(min=0, help="hidden units")] = 16,
    epochs: Annotated[float, typer.Option(min=0.01, help="passes through the samples")] = 2.0,
    seed: Annotated[int, typer.Option(help="of the first weights and of the order")] = 0,
) -> None:
    """Fit the model to samples and write a checkpoint of kind `native`."""
    with errors_in_one_line():
        if without is not None:
            load_table().fold(without)
        files = [one for one in read_samples(samples) if one.spell != without]
        if not files:
            raise ConfigError(f"samples: expected files of drawn cells in {samples}, got none")
        model = PointwiseModel(hidden=hidden)
        loss = fitted(model, files, epochs=epochs, seed=seed)
        spells = Counter(one.spell for one in files)
        recipe = {
            "epochs": epochs,
            "seed": seed,
            "without": without,
            "windows": dict(sorted(spells.items())),
            "loss": loss,
        }
        save_model(out, model, card_of(model, recipe))
        typer.echo(f"wrote the fit to {len(files)} windows of {len(spells)} spells into {out}, mean loss {loss:.4f}")


def fitted(model: PointwiseModel, files: list[SampleFile], *, epochs: float, seed: int) -> float:
    """Fit a model by the weighted cross entropy of all thresholds; return its mean over the last steps.

    Args:
        model: changed in place.
        files: the samples.
        epochs: passes through the samples.
        seed: of the first weights and of the order.
    """
    torch.manual_seed(seed)
    columns = _columns(files)
    _set_statistics(model, columns["x"])
    leads = {
        float(minutes): (columns["minutes"] == float(minutes)).nonzero()[:, 0]
        for minutes in np.unique(columns["minutes"].numpy())
    }
    steps = max(int(epochs * len(columns["x"]) / (PER_LEAD * len(leads))), 1)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps + 1, pct_start=0.2)
    mean = 0.0
    for step in followed(range(steps), "step"):
        losses = []
        for minutes, members in leads.items():
            chosen = members[torch.randint(len(members), (PER_LEAD,))]
            losses.append(_loss(model, {name: column[chosen] for name, column in columns.items()}, minutes))
        loss = torch.stack(losses).mean()
        optimiser.zero_grad()
        (loss + _penalty(model)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        mean = float(loss.detach()) if step == 0 else 0.98 * mean + 0.02 * float(loss.detach())
    return mean


def _columns(files: list[SampleFile]) -> dict[str, Tensor]:
    """Return the samples of all files; a spell's weight is the square root of its number of windows."""
    windows = Counter(one.spell for one in files)
    weights = [one.samples.weight_N * windows[one.spell] ** -0.5 for one in files]
    weight_N = torch.from_numpy(np.concatenate(weights))
    pixels = [np.full(len(one.samples.minutes_N), one.pixel_km, np.float32) for one in files]
    return {
        "x": torch.from_numpy(np.concatenate([one.samples.x_NF for one in files])),
        "minutes": torch.from_numpy(np.concatenate([one.samples.minutes_N for one in files])),
        "rate": torch.from_numpy(np.concatenate([one.samples.rate_mmh_N for one in files])),
        "pixel": torch.from_numpy(np.concatenate(pixels)),
        "weight": weight_N / weight_N.mean(),
    }


def _set_statistics(model: PointwiseModel, x_NF: Tensor) -> None:
    chosen_NF = x_NF[torch.randint(len(x_NF), (STATISTICS_CELLS,))].float()
    model.mean_F.copy_(chosen_NF.mean(0))
    model.spread_F.copy_(chosen_NF.std(0).clamp_min(1e-2))


def _loss(model: PointwiseModel, part: dict[str, Tensor], minutes: float) -> Tensor:
    """Return the weighted cross entropy of cells of one lead time, summed over thresholds."""
    scaled_NF = model.scaled(part["x"].float().T).T
    sizes, kind_N = np.unique(part["pixel"].numpy(), return_inverse=True)
    near_NP = torch.stack([nearness(PIXELS_KM, float(pixel_km)) for pixel_km in sizes])[torch.from_numpy(kind_N)]
    units_NU = scaled_NF.new_zeros(len(scaled_NF), model.hidden + len(model.rates_mmh))
    for number, pixel_km in enumerate(PIXELS_KM):
        weight_FU, bias_U = model.mixed(minutes, pixel_km)
        units_NU = units_NU + (scaled_NF @ weight_FU + bias_U) * near_NP[:, number, None]
    event_NK = (part["rate"][:, None] >= torch.tensor(model.rates_mmh)).float()
    logits_NK = model.logits(units_NU.T).T
    entropy_NK = torch.nn.functional.binary_cross_entropy_with_logits(logits_NK, event_NK, reduction="none")
    return (part["weight"][:, None] * entropy_NK).sum() / part["weight"].sum()


def _penalty(model: PointwiseModel) -> Tensor:
    factor_F = torch.tensor([DECAY_OF_WINDOW if name in WINDOW else 1.0 for name in PREDICTORS])
    share_T = torch.tensor(DECAY_BY_LEAD)[:, None, None, None] * factor_F[:, None]
    weight_TPFU = model.weight_TPFU
    by_lead, by_size = weight_TPFU.diff(dim=0).square() * share_T[:-1], weight_TPFU.diff(dim=1).square() * share_T
    return DECAY * ((weight_TPFU.square() * share_T).sum() / 3 + 3 * by_lead.sum() + 3 * by_size.sum())


def card_of(model: PointwiseModel, recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the card of a fitted model."""
    weights = b"".join(part.detach().numpy().tobytes() for part in model.state_dict().values())
    digest = hashlib.sha256(repr(sorted(recipe["windows"].items())).encode() + weights).hexdigest()[:8]
    table = load_table()
    return {
        "kind": "native",
        "version": f"{datetime.now(UTC):%Y.%m.%d}+{digest}",
        "architecture": {"name": "pointwise", "options": {"hidden": model.hidden}},
        "transform": {"name": "log"},
        "input_steps": 25,
        "window_minutes": 120,
        "cadence_minutes": 5,
        "pixel_m": 1000.0,
        "training": {"command": "python -m training.fit_native", **recipe},
        "attribution": sorted({table.spell(name).attribution for name in recipe["windows"]}),
    }


if __name__ == "__main__":
    app()
