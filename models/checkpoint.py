"""Checkpoints: `model.safetensors` and `model.json` in one folder, written whole or not at all."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from core.cells import edges_of_card
from core.errors import InputError
from core.files import write_bytes_atomically
from core.registry import Registry
from models.build import build_model
from models.convgru_ensemble import ConvGRUEnsemble
from models.forecaster import Forecaster, NetworkForecaster
from models.guided.adaptation import ADAPTATION
from models.guided.calibration import CalibrationByCell
from models.guided.fields import MATCHING
from models.guided.forecaster import GuidedForecaster
from models.guided.native import NativeForecaster
from models.guided.network import GuidedModel, build_guided
from models.guided.pointwise import PointwiseModel, build_pointwise
from models.network_ensemble import NetworkEnsemble
from models.transforms import transform_from_dict

WEIGHTS = "model.safetensors"
CARD = "model.json"
SHIPPED = Path(__file__).parent / "weights"
FIELD = "field"
BUILDERS: Registry[Callable[..., nn.Module]] = Registry("kind of checkpoint")
"""Builders of the module that a checkpoint's weights belong to, by the card's `kind`; `field` is the default."""
BUILDERS.register(FIELD)(build_model)
BUILDERS.register("exceedance")(build_guided)
BUILDERS.register("native")(build_pointwise)
REQUIRED = ("architecture", "transform", "input_steps", "cadence_minutes", "pixel_m", "version", "sha256")


def save_model(folder: str | Path, model: nn.Module, card: dict[str, Any], *, half: bool = False) -> None:
    """Write a checkpoint.

    Args:
        folder: created if missing.
        model: the module whose parameters are stored.
        card: everything else; must have `architecture` {name, options}, `transform`, `input_steps`, `cadence_minutes`,
            `pixel_m`, `version`; where cells are not square, `pixel_y_m` and `pixel_x_m` too. The sha256 of the
            weights is added.
        half: store float16 numbers, for half of the size.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if half:
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    content = save(tensors)
    full_card = {**card, "sha256": hashlib.sha256(content).hexdigest()}
    missing = [key for key in REQUIRED if key not in full_card]
    if missing:
        raise InputError(f"card: expected the keys {', '.join(REQUIRED)}, got none for {', '.join(missing)}")
    folder = Path(folder)
    write_bytes_atomically(folder / WEIGHTS, content)
    write_bytes_atomically(folder / CARD, (json.dumps(full_card, indent=2) + "\n").encode())


def read_card(folder: str | Path) -> dict[str, Any]:
    """Return the JSON of a checkpoint.

    Raises:
        InputError: no checkpoint there, or its JSON lacks a key.
    """
    folder = Path(folder)
    try:
        card = json.loads((folder / CARD).read_text())
    except (OSError, ValueError) as err:
        raise InputError(
            f"checkpoint: expected a folder with a readable {CARD} and {WEIGHTS}, got {folder} ({err})"
        ) from err
    missing = [key for key in REQUIRED if key not in card]
    if missing:
        raise InputError(f"{folder / CARD} lacks the keys {', '.join(missing)}")
    return dict(card)


def load_model(folder: str | Path) -> nn.Module:
    """Return the module of a checkpoint, float32, on the CPU, in evaluation mode.

    Raises:
        InputError: no checkpoint there, weights that are not those of its JSON (sha256), or another architecture.
    """
    folder = Path(folder)
    card = read_card(folder)
    try:
        content = (folder / WEIGHTS).read_bytes()
    except OSError as err:
        raise InputError(f"{folder} has no {WEIGHTS}") from err
    digest = hashlib.sha256(content).hexdigest()
    if digest != card["sha256"]:
        raise InputError(f"{folder / WEIGHTS}: expected sha256 {card['sha256']} of its JSON, got {digest}")
    architecture = card["architecture"]
    model = BUILDERS.get(str(card.get("kind", FIELD)))(architecture["name"], **architecture.get("options", {}))
    try:
        tensors = {name: value.to(torch.float32) for name, value in load(content).items()}
        model.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as err:
        raise InputError(f"{folder / WEIGHTS} does not fit {architecture['name']}: {err}") from err
    return model.eval()


def load_network(folder: str | Path, *, name: str, device: str = "auto", precision: str = "auto") -> Forecaster:
    """Return a checkpoint as a forecaster on a device."""
    card = read_card(folder)
    made_for = {key: int(card[key]) for key in ("input_steps", "cadence_minutes")}
    how: dict[str, Any] = {"device": device, "precision": precision, "pixel_m": float(card["pixel_m"]), **made_for}
    model = load_model(folder)
    forecaster: Forecaster
    if isinstance(model, GuidedModel):
        forecaster = GuidedForecaster(
            model,
            name,
            str(card["version"]),
            adaptation=ADAPTATION.from_dict(card["adaptation"]) if "adaptation" in card else None,
            calibration=CalibrationByCell.from_dict(card["calibration"]) if "calibration" in card else None,
            matching=MATCHING.from_dict(card.get("rebuild", {})),
            **how,
        )
    elif isinstance(model, PointwiseModel):
        del how["precision"]  # float32 always: the sums are limited by memory bandwidth, not by arithmetic
        forecaster = NativeForecaster(model, name, str(card["version"]), **how)
    elif isinstance(model, ConvGRUEnsemble):
        forecaster = NetworkEnsemble(model, transform_from_dict(card["transform"]), name, str(card["version"]), **how)
    else:
        forecaster = NetworkForecaster(model, transform_from_dict(card["transform"]), name, str(card["version"]), **how)
    forecaster.card, forecaster.edges = card, edges_of_card(card)
    return forecaster


def shipped() -> list[str]:
    """Return the names of the checkpoints that come with the package."""
    return sorted(folder.parent.name for folder in SHIPPED.glob(f"*/{CARD}"))
