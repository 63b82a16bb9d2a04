"""What a logger of a run is: one of Lightning's, which also takes pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger

from core.errors import ConfigError
from core.registry import Registry


@runtime_checkable
class DrawsPictures(Protocol):
    """A logger that takes pictures as well as numbers."""

    def draw(self, name: str, picture_HWC: NDArray[np.uint8], step: int) -> None:
        """Log an RGB picture under a name, after a number of steps."""
        ...


@dataclass(frozen=True)
class RunLogger:
    """A kind of logger.

    Attributes:
        package: that it needs, installed as the extra of the logger's name.
        build: from the run folder, which exists, and the resolved configuration as plain values.
    """

    package: str
    build: Callable[[Path, Mapping[str, Any]], Logger]


LOGGERS: Registry[RunLogger] = Registry("logger", plug_ins="nowcast.loggers")


def require_packages(names: tuple[str, ...]) -> None:
    """Refuse a logger whose package is not installed.

    Raises:
        UnknownNameError: no logger has that name.
        ConfigError: a package is missing; the message says how to install it.
    """
    for name in names:
        package = LOGGERS.get(name).package
        if find_spec(package) is None:
            raise ConfigError(
                f"loggers: {name} needs a package, and the package {package} is not installed (pip install '.[{name}]')"
            )
