"""What PredRNN++ and PredRNN-V2 add to PredRNN."""

import pytest
import torch

from models import bands
from models.cells import CELLS, LayerPosition
from models.cells.predrnn_plus2 import GradientHighway
from models.cells.predrnn_v2 import Decoupling
from models.stack import RecurrentStack


@pytest.mark.parametrize(("gate_bias", "open_"), [(-100.0, False), (100.0, True)])
def test_highway_shut_keeps_zero_and_open_takes_the_new(gate_bias, open_):
    torch.manual_seed(0)
    highway, x_BCHW = GradientHighway(4, 3), torch.randn(2, 4, 6, 5)
    z_BCHW = torch.zeros_like(x_BCHW)
    with torch.no_grad():
        highway.gates.parts[0].get_parameter("bias")[4:] = gate_bias
    expected = highway.gates(x_BCHW, z_BCHW)[:, :4].tanh() if open_ else z_BCHW
    torch.testing.assert_close(highway(x_BCHW, z_BCHW), expected)


def test_shut_highway_hides_the_input_from_the_second_layer():
    cell = CELLS.get("predrnn++")(4, 3, LayerPosition(1, 6))
    with torch.no_grad():
        cell.get_parameter("highway.gates.parts.0.bias")[4:] = -100.0
    outputs = [cell(x, cell.init_state(x), None).y_BCHW for x in torch.randn(2, 1, 4, 6, 5)]
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize(("multiscale", "size"), [(False, (16, 12)), (True, (8, 6))])
def test_only_the_second_layer_has_the_highway(multiscale, size):
    stack = RecurrentStack("predrnn++", 4, num_layers=6, kernel_size=3, multiscale=multiscale)
    _, state, _ = stack(torch.randn(1, 4, 16, 12))
    assert [len(own) for own in state.layers] == [2, 3, 2, 2, 2, 2]
    assert state.layers[1][2].shape[-2:] == size


def test_decoupling_is_the_mean_over_the_batch_of_absolute_cosines():
    module = Decoupling(2)
    with torch.no_grad():
        module.adapter.weight.copy_(torch.eye(2)[:, :, None, None])
        module.adapter.get_parameter("bias").zero_()
    added_c = torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]])[None]  # one sample of two channels of 1 x 2 pixels
    added_m = torch.tensor([[[-6.0, -8.0]], [[0.0, 2.0]]])[None]  # opposite in the first, orthogonal in the second
    assert module(added_c, added_m).item() == pytest.approx(0.01)
    assert module(added_c, added_c).item() == pytest.approx(0.02)
    both = module(torch.cat([added_c, added_c]), torch.cat([added_m, added_c]))
    assert both.item() == pytest.approx(0.015)


def test_one_decoupling_serves_all_layers_and_only_where_it_is_asked_for(monkeypatch):
    stack = RecurrentStack("predrnn-v2", 4, num_layers=3, kernel_size=3, multiscale=True)
    assert sum(isinstance(module, Decoupling) for module in stack.modules()) == 1
    x_BCHW = torch.randn(1, 4, 8, 8)
    assert stack(x_BCHW)[2] is None
    own = stack(x_BCHW, with_loss=True)[2].item()
    assert 0 < own <= 0.01 * 3 * 4
    monkeypatch.setattr(bands, "LARGE", 1)  # bands of a large field have no increments
    with torch.no_grad():
        assert stack(x_BCHW)[2] is None
        assert stack(x_BCHW, with_loss=True)[2].item() == pytest.approx(own)
