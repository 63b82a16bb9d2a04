"""The paper's cost model: memory and work of a stack of N layers, flat and multi-scale (MS-RNN, equations 3 to 14).

Exact numbers (`Fraction`), for any N. The paper assumes exact halves and quarters for the multi-scale layers, omits
biases and the input and output layers, and calls 2 R U b c h w "forward and backward outputs".
"""

from dataclasses import dataclass
from fractions import Fraction

from core.errors import InputError

BITS = 32
"""Bits of one number; the paper stores everything in float32."""


def output_coefficient(num_layers: int, *, multiscale: bool) -> Fraction:
    """Return the bits of all outputs in units of R U b c h w: equation 5 flat, 6 (odd N) and 7 (even N) multi-scale."""
    return BITS * _layers_at_full_size(num_layers, multiscale=multiscale)


def flop_coefficient(num_layers: int, *, multiscale: bool) -> Fraction:
    """Return operations in units of R Ut b c^2 h w k^2 (two per product and sum): equation 11 flat, 12 multi-scale."""
    return 2 * _layers_at_full_size(num_layers, multiscale=multiscale)


def _layers_at_full_size(num_layers: int, *, multiscale: bool) -> Fraction:
    """Return the number of full-size layers with the same total work: N flat, a geometric series multi-scale."""
    if num_layers < 1:
        raise InputError(f"num_layers: expected at least 1, got {num_layers}")
    if not multiscale:
        return Fraction(num_layers)
    pairs, odd = divmod(num_layers, 2)
    return Fraction(8, 3) * (1 - Fraction(1, 4**pairs)) + odd * Fraction(1, 4**pairs)


@dataclass(frozen=True)
class CostModel:
    """One cell in one setting (the paper's symbols: Ut, U, N, R, b, c, h, w, k).

    Attributes:
        parameter_multiple: Ut, the cell's convolutions in units of one from c to c channels.
        output_multiple: U, the values that one layer outputs in a step, in units of b c h w.
        steps: R, input frames plus forecast frames minus one.
    """

    parameter_multiple: Fraction
    output_multiple: Fraction
    channels: int
    height: int
    width: int
    steps: int
    num_layers: int = 6
    batch: int = 1
    kernel_size: int = 3

    @property
    def parameter_bits(self) -> Fraction:
        """Return M_par, the same flat and multi-scale (equation 4)."""
        return BITS * self.num_layers * self.parameter_multiple * self.channels**2 * self.kernel_size**2

    def output_bits(self, *, multiscale: bool) -> Fraction:
        """Return M_out of the forward pass, which training keeps (equations 5 to 7)."""
        values = self.steps * self.output_multiple * self.batch * self.channels * self.height * self.width
        return output_coefficient(self.num_layers, multiscale=multiscale) * values

    def total_bits(self, *, multiscale: bool) -> Fraction:
        """Return M_all: weights, gradient, two moments of Adam; outputs forward and backward (equation 3)."""
        return 4 * self.parameter_bits + 2 * self.output_bits(multiscale=multiscale)

    @property
    def memory_reduction(self) -> Fraction:
        """Return the share of M_all that the multi-scale stack saves (equation 9; 10 for N = 6)."""
        flat, multiscale = self.output_bits(multiscale=False), self.output_bits(multiscale=True)
        return (flat - multiscale) / (2 * self.parameter_bits + flat)

    def flops(self, *, multiscale: bool) -> Fraction:
        """Return the operations of one forward pass, two per multiply-accumulate (equations 11 and 12)."""
        unit = self.steps * self.parameter_multiple * self.batch * self.channels**2 * self.kernel_size**2
        return flop_coefficient(self.num_layers, multiscale=multiscale) * unit * self.height * self.width

    @property
    def flop_reduction(self) -> Fraction:
        """Return the share of the work that the multi-scale stack saves (equation 14 for N = 6: 56.25 %)."""
        return 1 - flop_coefficient(self.num_layers, multiscale=True) / flop_coefficient(
            self.num_layers, multiscale=False
        )
