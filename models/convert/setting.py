"""What a checkpoint of the reference was trained on: the data set's setting in the MS-RNN paper, for the card."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from core.errors import InputError
from core.units import PAPER_PIXEL_M
from models.transforms import IdentityTransform, ReflectivityTransform, Transform


@dataclass(frozen=True)
class ReferenceSetting:
    """Frames and values of one data set in the reference implementation (MS-RNN paper, section 5.1).

    Attributes:
        input_steps, lead_steps: frames in and out.
        transform: between the data set's values and the network's.
        options: of the data set as this project reads it, so that the checkpoint is scored on the paper's frames.
        cadence_minutes, pixel_m: of the frames; 0 for pictures.
    """

    input_steps: int
    lead_steps: int
    transform: Transform
    options: Mapping[str, Any] = field(default_factory=dict)
    cadence_minutes: int = 0
    pixel_m: float = 0.0

    def card(self, dataset: str, channels: int) -> dict[str, Any]:
        """Return the keys of a checkpoint's card that follow from the data set."""
        options = dict(self.options) | ({"channels": channels} if dataset == "taxibj" else {})
        return {
            "transform": self.transform.to_dict(),
            "input_steps": self.input_steps,
            "lead_steps": self.lead_steps,
            "cadence_minutes": self.cadence_minutes,
            "pixel_m": self.pixel_m,
            "grid": {key: options.get(key) for key in ("height", "width")},
            "training": {"config": {"dataset": dataset, "dataset_options": options}},
        }


SETTINGS: Final[Mapping[str, ReferenceSetting]] = {
    "moving_mnist": ReferenceSetting(10, 10, IdentityTransform(), {"size": 64, "digits": "paper"}),
    "kth": ReferenceSetting(10, 10, IdentityTransform(), {"size": 88}),
    "taxibj": ReferenceSetting(4, 4, IdentityTransform(), cadence_minutes=30),
    "germany": ReferenceSetting(
        *(5, 5, ReflectivityTransform(), {"height": 124, "width": 124, "cadence_minutes": 30}),
        cadence_minutes=30,
        pixel_m=PAPER_PIXEL_M,
    ),
}


def setting_of(dataset: str) -> ReferenceSetting:
    """Return the setting of a data set.

    Raises:
        InputError: the reference was not trained on it.
    """
    if dataset not in SETTINGS:
        raise InputError(f"dataset: expected one of {', '.join(SETTINGS)} (the reference has no other), got {dataset}")
    return SETTINGS[dataset]
