"""The interface of a data set: an item is a function of (split, index), in any order and in any worker."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor
from torch.utils.data import Dataset

from core.arrays import FloatField
from core.errors import ConfigError
from core.grid import Grid
from core.registry import Registry

Split = Literal["train", "validation", "test"]


class Sample(NamedTuple):
    """Input frames and the frames after them: mm/h with NaN where not observed, or images with values 0 to 1."""

    past_TCHW: Tensor
    future_TCHW: Tensor


class NowcastDataset(Dataset[Sample], ABC):
    """Base of every data set; built as `DATASETS.get(name)(data=..., split=..., options)`.

    Attributes:
        needs_data: whether files are needed; False for a data set that generates its frames.
        is_rain: whether values are mm/h; otherwise frames are images with values 0 to 1.
        channels: of a frame.
        cadence_minutes, pixel_m: of the frames as the samples hold them (0 for images); the mean of both edges.
        edges_m: height and width of their cells; None: square cells of `pixel_m`.
        fingerprint: identifies the data: files with their sha256, or the generator's name and seed.
    """

    options_class: ClassVar[type[BaseModel]]
    needs_data: ClassVar[bool] = True
    is_rain: bool = True
    channels: int = 1
    cadence_minutes: int = 0
    pixel_m: float = 0.0
    edges_m: tuple[float, float] | None = None
    fingerprint: dict[str, Any]

    def __init__(
        self,
        data: Path | None,
        split: Split,
        *,
        input_steps: int,
        lead_steps: int,
        seed: int = 0,
        options: BaseModel | None = None,
    ) -> None:
        del options  # each data set keeps its own typed options
        self.data = data
        self.split: Split = split
        self.input_steps = input_steps
        self.lead_steps = lead_steps
        self.seed = seed
        self.fingerprint = {}

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples of the split."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Return the sample of an index.

        Raises:
            IndexError: outside of 0 to len - 1.
        """

    def grid_at(self, index: int) -> Grid | None:
        """Return where the fields of a sample are, for pictures with borders; None for images, and where unknown."""
        del index
        return None

    @classmethod
    @abstractmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write a tiny example of the data, in the layout that is read, into an empty folder.

        Returns:
            The options for the example, in types that YAML has.
        """

    def _sample(self, frames_TCHW: FloatField) -> Sample:
        """Return frames in order as a sample: the input frames, then the frames to forecast."""
        every_TCHW = torch.from_numpy(np.ascontiguousarray(frames_TCHW, np.float32))
        return Sample(every_TCHW[: self.input_steps], every_TCHW[self.input_steps :])

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} samples")


DATASETS: Registry[type[NowcastDataset]] = Registry("dataset", plug_ins="nowcast.datasets")


def build_dataset(
    name: str,
    data: str | Path | None,
    split: Split,
    options: dict[str, Any],
    *,
    input_steps: int,
    lead_steps: int,
    seed: int,
) -> NowcastDataset:
    """Build a data set by its name.

    Raises:
        UnknownNameError: no data set has that name.
        ConfigError: wrong options, or data without a usable sample.
    """
    kind = DATASETS.get(name)
    try:
        checked = kind.options_class.model_validate(options)
    except ValidationError as err:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'together'}: {e['msg']} (got {e['input']!r})" for e in err.errors()
        )
        raise ConfigError(f"options of {name}: {problems}") from err
    folder = None if data is None else Path(data)
    return kind(folder, split, input_steps=input_steps, lead_steps=lead_steps, seed=seed, options=checked)
