"""What the paper counts and prints for each of its ten cells, and how its numbers come about.

Its FLOPs are multiply-accumulates of one forward pass as counted by thop 0.1.1: a convolution is output values x input
channels x kernel area (no bias; a transposed one too with the size of its output, four times too much for stride 2),
bilinear resampling is 11 per output value, pooling, warps and attention are 0. Branches that are computed and never
used are counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from models.skips import SKIPS

BILINEAR = 11
"""Count of thop per output value of a bilinear resampling."""

_FLOWS, _FLOW_CHANNELS = 10, 32
"""TrajGRU's links and the width of its 5x5 flow network."""

WorkRule = Callable[[int, int, int], int]
"""(channels, height, width) of one layer -> the count of thop for one step of it, batch 1."""


@dataclass(frozen=True)
class Printed:
    """A row of the paper, flat and multi-scale; None where the paper prints nothing.

    Attributes:
        table: the table with the memory: 3 is Moving MNIST at 64x64, 6 is TaxiBJ at 32x32.
        parameters: in millions.
        memory_gb: on one of four cards.
        gmacs: the column "FLOPs", in 10^9.
    """

    table: int
    parameters: float
    memory_gb: tuple[float, float]
    gmacs: tuple[float, float] | None = None

    @property
    def memory_drop(self) -> float:
        """Return the share of memory saved, flat to multi-scale."""
        return 1 - self.memory_gb[1] / self.memory_gb[0]


@dataclass(frozen=True)
class PaperCell:
    """One cell of the paper as its authors count it (64 channels, 6 layers, kernel 3).

    Attributes:
        work: per layer and step.
        parameters: of the authors' whole model, exactly.
        note: why our count of parameters or the paper's print differs from that; empty where all agree.
        parameter_multiple: Ut, weights of one layer in units of 9 c^2.
        output_multiple: U. The paper states ConvLSTM's 16 only: convolution outputs, activations and elementwise
            products of one step, additions free. The others are counted here by the same rule from the cells' formulas,
            with fractions for narrow or half-size tensors at 64 channels, PrecipLSTM with its two maps of 900 weights,
            without CMS-LSTM's attention maps, which grow with the square of the field, and PredRNN++'s highway unit.
        streams: tensors that are resampled between layers at each step: the output, and M if there is one.
        diagonal: whether the previous output of the layer below is resampled as well.
        highway: whether layer 1 has PredRNN++'s highway unit.
    """

    work: WorkRule
    parameters: int
    printed: Printed
    parameter_multiple: Fraction
    output_multiple: Fraction
    streams: int = 1
    diagonal: bool = False
    highway: bool = False
    note: str = ""


def _squares(multiple: int) -> WorkRule:
    """Count convolutions at the layer's own size with `multiple` c^2 weights together."""
    return lambda c, h, w: multiple * c * c * h * w


def _trajgru(c: int, h: int, w: int) -> int:
    flow = 25 * (2 * c * _FLOW_CHANNELS + _FLOW_CHANNELS * 2 * _FLOWS)
    return (27 * c * c + flow + 3 * _FLOWS * c * c) * h * w


def _motionrnn(c: int, h: int, w: int) -> int:
    """Count MIM, and a MotionGRU with c/4 channels, 9 flow vectors and half the size between its way in and out."""
    narrow, flows = c // 4, 18
    encoder, gates, mask = 4 * c * narrow, 3 * (narrow + flows) * flows, narrow * 9
    half = encoder + gates + mask + 9 * narrow * narrow
    return 299 * c * c * h * w + half * (h // 2) * (w // 2) + (16 * narrow * c + 2 * c * c) * h * w


_DEAD_MIM = "the authors also build the first layer's non-stationary and stationary parts, which nothing uses"

PAPER_CELLS: Final[Mapping[str, PaperCell]] = {
    "convlstm": PaperCell(
        _squares(72), 1_772_737, Printed(3, 1.77, (5.50, 3.86), (137.7, 60.3)), Fraction(8), Fraction(16)
    ),
    "trajgru": PaperCell(
        _trajgru, 2_114_233, Printed(6, 2.11, (3.51, 2.92)), Fraction(351_872, 36_864), Fraction(381, 16)
    ),
    "predrnn": PaperCell(
        _squares(146),
        3_594_817,
        Printed(3, 3.59, (10.44, 6.13), (279.3, 122.3)),
        Fraction(146, 9),
        Fraction(30),
        streams=2,
    ),
    "predrnn++": PaperCell(
        _squares(192),
        5_608_513,
        Printed(3, 5.61, (15.20, 8.18), (378.7, 163.7)),
        Fraction(192, 9),
        Fraction(23),
        streams=2,
        highway=True,
        note="the authors build a highway unit in all six layers and use the one of layer 1",
    ),
    "mim": PaperCell(
        _squares(299),
        7_361_473,
        Printed(3, 7.36, (19.69, 10.09), (571.9, 250.4)),
        Fraction(299, 9),
        Fraction(61),
        streams=2,
        diagonal=True,
        note=_DEAD_MIM,
    ),
    "motionrnn": PaperCell(
        _motionrnn,
        7_560_547,
        Printed(3, 7.56, (20.65, 10.48), (584.3, 255.9)),
        Fraction(1_257_660, 36_864),
        Fraction(67) + Fraction(518, 256),
        streams=2,
        diagonal=True,
        note=_DEAD_MIM + ", and a MotionGRU in the last layer, whose result is dropped",
    ),
    "predrnn-v2": PaperCell(
        _squares(148),
        3_598_977,
        Printed(3, 3.60, (11.64, 6.66), (283.1, 124.0)),
        Fraction(146, 9),
        Fraction(32),
        streams=2,
        note="the paper's MACs hold the decoupling adapter, which only training computes",
    ),
    "preciplstm": PaperCell(
        _squares(286),
        7_041_217,
        Printed(3, 7.04, (26.36, 12.56), (547.0, 239.5)),
        Fraction(286, 9),
        Fraction(59) + Fraction(2 * 900, 64),
        streams=2,
        note="the paper's MACs leave out the attention's own products",
    ),
    "cms-lstm": PaperCell(
        _squares(245),
        4_483_393,
        Printed(6, 4.48, (6.87, 4.33)),
        Fraction(182, 9),
        Fraction(70),
        note="thop leaves out the attention's own products",
    ),
    "modernn": PaperCell(
        _squares(487),
        5_854_657,
        Printed(6, 5.86, (7.75, 4.78)),
        Fraction(238, 9),
        Fraction(41),
        note="the paper's 5.86 M is rounded twice",
    ),
}


def levels(num_layers: int, *, multiscale: bool) -> tuple[int, ...]:
    """Return how often each layer's field is halved."""
    return tuple(min(n, num_layers - 1 - n) if multiscale else 0 for n in range(num_layers))


def paper_macs(
    cell: PaperCell,
    *,
    multiscale: bool,
    height: int = 64,
    width: int = 64,
    steps: int = 19,
    channels: int = 64,
    num_layers: int = 6,
    in_channels: int = 1,
    batch: int = 1,
    skip: str | None = None,
) -> int:
    """Compute the paper's "FLOPs" of one forward pass; the defaults are the setting of its Table 3."""
    depth = levels(num_layers, multiscale=multiscale)
    sizes = [(height >> level, width >> level) for level in depth]
    step = sum(cell.work(channels, h, w) for h, w in sizes) + 2 * in_channels * channels * height * width
    if cell.highway and num_layers > 1:
        step += 36 * channels**2 * sizes[1][0] * sizes[1][1]
    data = _upsampled(depth, sizes, skip or ("unet" if multiscale else "none"))
    plain = _upsampled(depth, sizes, "none")
    resampled = steps * (data + (cell.streams - 1) * plain) + (steps - 1) * cell.diagonal * plain
    return batch * (steps * step + BILINEAR * channels * resampled)


def _upsampled(depth: tuple[int, ...], sizes: list[tuple[int, int]], skip: str) -> int:
    """Return how many pixels of one channel one step outputs by bilinear resampling."""
    connect = SKIPS.get(skip)
    return sum(
        sizes[n][0] * sizes[n][1]
        for n in range(1, len(depth))
        for source in (n - 1, *connect(n, depth))
        if depth[source] > depth[n]
    )
