"""TAU: SimVP V2 whose blocks have temporal attention units, and a loss on the differences between frames."""

from collections.abc import Sequence
from typing import Final

from torch import Tensor, nn

from core.errors import InputError
from models.simvp_v2 import LargeKernel, SimVPv2

REDUCTION: Final = 16
FEWEST: Final = 4
"""Least factor by which the dynamical attention narrows the channels."""
TEMPERATURE: Final = 0.1


class TemporalAttention(nn.Module):
    """A static attention by a large kernel, times a dynamical one of a weight for each channel, times the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernel = LargeKernel(channels, channels)
        narrow = max(channels // max(channels // REDUCTION, FEWEST), 1)
        self.squeeze = nn.Linear(channels, narrow, bias=False)
        self.excite = nn.Linear(narrow, channels, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the attended input, (B, C, H, W)."""
        weight_BC = self.excite(self.squeeze(x_BCHW.mean(dim=(2, 3))).relu()).sigmoid()
        attended: Tensor = weight_BC[:, :, None, None] * self.kernel(x_BCHW) * x_BCHW
        return attended


def differential_divergence(forecast_BTCHW: Tensor, truth_BTCHW: Tensor) -> Tensor:
    """Return the divergence of the changes between forecast frames from those between true frames (eqs. 5 to 7).

    The change at all pixels of a step is a distribution by softmax with temperature 0.1; the result is the sum over
    pixels of q log(q / p), q of the forecast, in the mean over steps and samples.
    """
    changes = [(x.float()[:, 1:] - x.float()[:, :-1]).flatten(2) / TEMPERATURE for x in (forecast_BTCHW, truth_BTCHW)]
    log_q, log_p = (change.log_softmax(dim=2) for change in changes)
    return (log_q.exp() * (log_q - log_p)).sum(dim=2).mean()


class TAU(SimVPv2):
    """Temporal attention unit (Tan et al. 2023, CVPR, arXiv:2206.12126). Written from the paper.

    The defaults are the configuration whose size OpenSTL prints for Moving MNIST (44.7 M, 16.0 G). In training the
    loss has `divergence` times `differential_divergence` on top, where the forecast has more than one frame.

    Args:
        divergence: weight of the differential divergence (the paper's alpha, 0.1).
        in_channels, hidden_channels, num_layers, kernel_size, input_steps, translator_channels, spatial_layers, ratio,
            drop_path, residual: see `SimVPv2`.

    Raises:
        InputError: an impossible number.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        hidden_channels: int = 64,
        num_layers: int = 6,
        kernel_size: int = 3,
        input_steps: int = 10,
        translator_channels: int = 512,
        spatial_layers: int = 4,
        ratio: int = 8,
        drop_path: float = 0.0,
        divergence: float = 0.1,
        residual: bool = False,
    ) -> None:
        if divergence < 0:
            raise InputError(f"divergence: expected at least 0, got {divergence}")
        super().__init__(
            in_channels=in_channels,
            hidden_channels=hidden_channels,
            num_layers=num_layers,
            kernel_size=kernel_size,
            input_steps=input_steps,
            translator_channels=translator_channels,
            spatial_layers=spatial_layers,
            ratio=ratio,
            drop_path=drop_path,
            residual=residual,
        )
        self.divergence = divergence

    @staticmethod
    def attention(channels: int) -> nn.Module:
        """Return the attention of one block."""
        return TemporalAttention(channels)

    def predict_with_loss(
        self,
        frames_BTCHW: Tensor,
        lead_steps: int,
        *,
        future_BTCHW: Tensor | None = None,
        use_truth_TB: Tensor | Sequence[Sequence[bool]] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the forecast frames, and the weighted divergence where the true frames are given."""
        del use_truth_TB
        forecast_BTCHW = self(frames_BTCHW, lead_steps)
        if future_BTCHW is None or lead_steps < 2 or not self.divergence:
            return forecast_BTCHW, None
        return forecast_BTCHW, self.divergence * differential_divergence(forecast_BTCHW, future_BTCHW)
