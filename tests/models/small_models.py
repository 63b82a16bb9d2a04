"""The models without recurrence, at a size that takes no time."""

from typing import Any

import pytest
import torch

from models import build_model

SMALL: dict[str, dict[str, Any]] = {
    "simvp": {"hidden_channels": 8, "num_layers": 4, "translator_channels": 32, "input_steps": 3},
    "earthformer": {"hidden_channels": 16, "depth": 2, "position_size": 16, "input_steps": 3},
    "simvp-v2": {"hidden_channels": 4, "translator_channels": 8, "num_layers": 1, "ratio": 2, "input_steps": 3},
    "tau": {"hidden_channels": 4, "translator_channels": 8, "num_layers": 1, "ratio": 2, "input_steps": 3},
    "rainnet": {"hidden_channels": 4, "levels": 3, "input_steps": 3},
    "smaat-unet": {"hidden_channels": 4, "levels": 3, "input_steps": 3},
    "phydnet": {"lstm_channels": [16]},
    "convgru-ensemble": {"blocks": 2, "input_steps": 3, "members": 4},
}


def small(name: str, **options: Any) -> Any:
    """A model of `SMALL` with the same weights each time."""
    torch.manual_seed(3)
    return build_model(name, **{**SMALL[name], **options})


def each_of(*names: str) -> Any:
    """A fixture that is each of these names in turn."""

    @pytest.fixture(params=names)
    def name(request: pytest.FixtureRequest) -> str:
        chosen: str = request.param
        return chosen

    return name
