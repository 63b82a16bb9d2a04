"""PredRNN-V2: PredRNN with a loss that decouples its two memories."""

from typing import ClassVar, Final

import torch.nn.functional as F
from torch import Tensor, nn

from models.cells.base import CELLS
from models.cells.predrnn import PredRNNCell

WEIGHT: Final = 0.01


class Decoupling(nn.Module):
    """Memory decoupling loss of one layer and step (Wang et al. 2021, arXiv:2103.09504), times 0.01.

    One adapter, shared by all layers, maps the increments of C and of M; the absolute cosine between the two maps of a
    channel is summed over channels and averaged over the batch: 0 if they are orthogonal everywhere.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.adapter = nn.Conv2d(channels, channels, 1)

    def forward(self, added_c_BCHW: Tensor, added_m_BCHW: Tensor) -> Tensor:
        """Return a scalar, at most 0.01 times the number of channels."""
        c, m = (F.normalize(self.adapter(added).flatten(2), dim=2) for added in (added_c_BCHW, added_m_BCHW))
        return WEIGHT * F.cosine_similarity(c, m, dim=2).abs().sum(dim=1).mean()


@CELLS.register("predrnn-v2")
class PredRNNv2Cell(PredRNNCell):
    """The cell of PredRNN; the increments of C and M go to the stack's `Decoupling`; state: (h_BCHW, c_BCHW)."""

    gives_increments: ClassVar[bool] = True
    schedule: ClassVar[str] = "reverse"

    @classmethod
    def auxiliary(cls, channels: int) -> nn.Module:
        return Decoupling(channels)
