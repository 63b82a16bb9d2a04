"""Interface of a recurrent cell: one layer of a stack, advanced by one time step."""

from abc import ABC, abstractmethod
from inspect import Parameter, signature
from typing import ClassVar, NamedTuple

from torch import Tensor, nn, zeros_like

from core.registry import Registry
from models.cells.joint import CatConv2d as CatConv2d
from models.cells.joint import JointConv2d as JointConv2d

State = tuple[Tensor, ...]


class Step(NamedTuple):
    """Result of one layer at one time step.

    Attributes:
        y_BCHW: output, the input of the next layer.
        state: state for the same layer at the next time step.
        memory_BCHW: the zigzag memory M for the next layer; None for cells without one.
        increments: input of the cell's `auxiliary` module, for an additional loss; empty for most cells.
    """

    y_BCHW: Tensor
    state: State
    memory_BCHW: Tensor | None
    increments: tuple[Tensor, ...] = ()


class LayerPosition(NamedTuple):
    """Position of a cell in its stack, for cells whose first, second or last layer differs from the others."""

    layer: int = 1
    num_layers: int = 3

    @property
    def is_first(self) -> bool:
        """Return whether the layer is the lowest of the stack."""
        return self.layer == 0

    @property
    def is_last(self) -> bool:
        """Return whether the layer is the topmost of the stack."""
        return self.layer == self.num_layers - 1


MIDDLE = LayerPosition()
"""A position at which no cell omits anything; the default of a cell that is built alone."""


class RecurrentCell(nn.Module, ABC):
    """One layer of a stack; input, output and every state have `channels` channels.

    A cell keeps size, type and device of its input, treats each sample of a batch alone, starts from zeros and passes a
    gradient to every parameter. `uses_memory`: the cell takes and returns the zigzag memory M. `uses_diagonal`: its
    `forward` has a fourth argument, `diagonal_BCHW`, the output of the layer below at the previous time step, resampled
    to this layer's size without any skip (None at the first time step and in the first layer). `schedule`: the schedule
    of true frames with which the paper of the cell trains.
    """

    uses_memory: ClassVar[bool] = False
    uses_diagonal: ClassVar[bool] = False
    schedule: ClassVar[str] = "scheduled"
    state_names: ClassVar[tuple[str, ...]] = ("h", "c")

    def __init__(self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE) -> None:
        super().__init__()
        self.channels = channels
        self.kernel_size = kernel_size
        self.position = position

    @property
    def reach(self) -> int | None:
        """Return how many pixels around an output pixel a step uses; None if unbounded (attention, flows)."""
        return None

    @classmethod
    def auxiliary(cls, channels: int) -> nn.Module | None:
        """Return a module, shared by the stack, that maps a layer's `increments` to a scalar loss, or None."""
        del channels
        return None

    def init_state(self, x_BCHW: Tensor) -> State:
        """Return zeros, one tensor per state, in the shape of the layer's input."""
        return tuple(zeros_like(x_BCHW) for _ in self.state_names)

    @abstractmethod
    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        """Advance by one time step; `memory_BCHW` is None for cells without the zigzag memory."""


CELLS: Registry[type[RecurrentCell]] = Registry("cell", plug_ins="nowcast.cells")


def options_of_cell(name: str) -> tuple[str, ...]:
    """Return the names of a cell's own options: the keywords of its class."""
    parameters = signature(CELLS.get(name)).parameters.values()
    return tuple(one.name for one in parameters if one.kind is Parameter.KEYWORD_ONLY)
