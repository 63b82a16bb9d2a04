"""What CMS-LSTM and MoDeRNN do before their gates."""

import torch

from models.cells.gates import in_context
from models.cells.modernn import MeanConv2d


def test_input_and_hidden_state_scale_each_other_by_turns():
    x, h = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), -0.25)
    a, b = 0.5, -0.25
    s = lambda value: 2 * float(torch.tensor(value).sigmoid())
    a *= s(3 * b)
    b *= s(-2 * a)
    a *= s(3 * b)
    b *= s(-2 * a)
    a *= s(3 * b)
    new_x, new_h = in_context(x, h, lambda value: 3 * value, lambda value: -2 * value)
    torch.testing.assert_close((new_x.item(), new_h.item()), (a, b))


def test_three_kernels_in_one_are_their_mean():
    module, x = MeanConv2d(3).double(), torch.randn(2, 3, 9, 4, dtype=torch.float64)
    mean = sum(
        torch.nn.functional.conv2d(x, part.get_parameter("weight"), part.get_parameter("bias"), padding="same")
        for part in module.parts
    )
    torch.testing.assert_close(module(x), mean / 3)
