"""Goals, on the processor and on a GPU: the bounds with which the page compares its figures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goals:
    """Bounds; speeds are times faster than the textbook, shares are per cent of the textbook's.

    Attributes:
        forecast, training: of MS-ConvLSTM, and the geometric mean of the multi-scale models.
        forecast_s: of MS-ConvLSTM; None: no bound.
        large_s, large_gb: of a forecast at 1 km, and of its process (on a GPU, of the GPU's memory).
        saved, saved_recomputed: saved activations, mean of the multi-scale models.
        peak: of one training step of the largest model.
        idle: per cent of a training loop's time spent waiting for data.
        native_s: of a forecast on the radar's own cells, of Germany's 900 x 900 and of 1200 x 1100.
        members_s: of its 20 members, more than without them.
        steps: times faster than STEPS with as many members.
        visible_s: from a stored scan to all of its forecast, with file and baselines.
        file_mb: of the file of a forecast of Germany.
    """

    forecast: tuple[float, float]
    training: tuple[float, float]
    large_s: float
    forecast_s: float | None = None
    large_gb: float = 4.0
    saved: float = 50.0
    saved_recomputed: float = 15.0
    peak: float = 25.0
    idle: float = 5.0
    native_s: tuple[float, float] = (25.0, 35.0)
    members_s: float = 30.0
    steps: float = 10.0
    visible_s: float = 45.0
    file_mb: float = 25.0


CPU = Goals(forecast=(4.0, 3.0), training=(2.5, 2.5), large_s=45.0)
CUDA = Goals(forecast=(4.0, 4.0), training=(4.0, 4.0), large_s=0.25, forecast_s=0.005, native_s=(3.0, 3.0))


def goals_on(device: str) -> Goals:
    """Return the goals of a device."""
    return CUDA if device.startswith("cuda") else CPU
