"""Setting of the benchmarks: one frozen object that each of them gets."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from models.build import MULTISCALE
from models.cost.paper import PAPER_CELLS

Shape = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Growth:
    """Points of the growth curves."""

    edges: tuple[int, ...] = (62, 124, 248, 496, 1200)
    frames: tuple[int, ...] = (4, 8, 12, 16, 20)
    batches: tuple[int, ...] = (1, 2, 4, 8)
    layers: tuple[int, ...] = (2, 4, 6, 8, 10)


@dataclass(frozen=True)
class NativeSizes:
    """Sizes of the forecast on the radar's own cells.

    Attributes:
        grids: rows and columns, Germany's first.
        leads: of a forecast.
        members: of an ensemble.
        steps_leads: leads of the comparison with STEPS.
    """

    grids: tuple[tuple[int, int], ...] = ((900, 900), (1200, 1100))
    leads: int = 30
    members: int = 20
    steps_leads: int = 6


@dataclass(frozen=True)
class BenchmarkSetting:
    """Sizes and choices of the benchmarks; the default is the paper's Germany size.

    Attributes:
        runs: timed pairs of each comparison.
        batch: of training; a forecast is of one sample.
        compiled: also time training with `torch.compile`, which needs a C++ compiler and minutes per model.
        data: a folder with radar event files, for the loader; None skips what needs it.
        cells: the recurrent cells of the tables.
        large: rows and columns of the forecast at 1 km.
        growth: points of the growth curves: image edges, frames in and out together, samples, layers.
        native: the forecast on the radar's own cells.
        steps: training steps of the loader's measurement.
        scale: of the sizes with which the machine's limits are measured; 1 for valid figures.
    """

    height: int = 124
    width: int = 124
    input_steps: int = 5
    lead_steps: int = 5
    batch: int = 1
    hidden_channels: int = 64
    device: str = "cpu"
    compiled: bool = False
    runs: int = 3
    data: Path | None = None
    cells: tuple[str, ...] = tuple(sorted(PAPER_CELLS))
    flat_cells: tuple[str, ...] = ("convlstm", "predrnn")
    largest: str = "preciplstm"
    large: tuple[int, int] = (1200, 1100)
    growth: Growth = field(default_factory=Growth)
    native: NativeSizes = field(default_factory=NativeSizes)
    steps: int = 4
    scale: float = 1.0

    @property
    def multiscale(self) -> tuple[str, ...]:
        """Return the names of the multi-scale models."""
        return tuple(MULTISCALE + cell for cell in self.cells)

    @property
    def complete(self) -> bool:
        """Return whether the tables have every cell of the paper, which the goals for the means require."""
        return set(self.cells) == set(PAPER_CELLS)

    @property
    def shape(self) -> Shape:
        """Return the shape of the given frames, (B, T, C, H, W)."""
        return (self.batch, self.input_steps, 1, self.height, self.width)

    def size(self) -> str:
        """Return the size in words."""
        return f"{self.height}x{self.width}, {self.input_steps} in and {self.lead_steps} out"


def quick(setting: BenchmarkSetting) -> BenchmarkSetting:
    """Return sizes that only show that the benchmarks run."""
    return replace(
        setting,
        height=32,
        width=32,
        input_steps=2,
        lead_steps=2,
        hidden_channels=8,
        runs=1,
        cells=tuple(cell for cell in setting.cells if cell in ("convlstm", "trajgru")),
        flat_cells=("convlstm",),
        largest="convlstm",
        large=(48, 40),
        growth=Growth(edges=(16, 32), frames=(2, 4), batches=(1, 2), layers=(2, 4)),
        native=NativeSizes(grids=((96, 80), (64, 48)), leads=2, members=2, steps_leads=1),
        steps=2,
        scale=0.05,
    )
