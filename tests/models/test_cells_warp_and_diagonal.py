"""The cells that look along flows (TrajGRU, MotionRNN) and those that take the diagonal (MIM, MotionRNN)."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.errors import InputError
from models import build_model
from models.cells import CELLS, LayerPosition
from models.cells.mim import MIMCell
from models.cells.motionrnn import MotionGRU, MotionRNNCell
from models.cells.predrnn import PredRNNCell
from models.cells.trajgru import TrajGRUCell
from models.cells.warp import warp
from models.convert import convert, load_reference
from models.stack import RecurrentStack, resample


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(4)


def _flow(u, v, height, width, *, batch=1, dtype=torch.float32):
    return torch.tensor([u, v], dtype=dtype).reshape(1, 1, 2, 1, 1).expand(batch, 1, 2, height, width)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (31, 45), (124, 7), (1, 5), (1, 1)])
def test_zero_flow_is_the_identity(height, width):
    image_BCHW = torch.rand(2, 3, height, width)
    warped = warp(image_BCHW, _flow(0, 0, height, width, batch=2))
    assert warped.shape == (2, 1, 3, height, width)
    assert torch.equal(warped[:, 0], image_BCHW)


def test_a_flow_samples_where_it_points_to_and_zero_outside():
    image_BCHW = torch.rand(1, 2, 6, 9, dtype=torch.float64)
    shifted = {flow: warp(image_BCHW, _flow(*flow, 6, 9, dtype=torch.float64))[:, 0] for flow in [(1, 0), (0, -2)]}
    torch.testing.assert_close(shifted[1, 0][..., :-1], image_BCHW[..., 1:])  # one column to the left
    torch.testing.assert_close(shifted[0, -2][..., 2:, :], image_BCHW[..., :-2, :])  # two rows down
    assert float(shifted[1, 0][..., -1].abs().max()) < 1e-12
    assert float(shifted[0, -2][..., :2, :].abs().max()) < 1e-12
    between = warp(image_BCHW, _flow(0.25, 0, 6, 9, dtype=torch.float64))[:, 0, ..., :-1]
    torch.testing.assert_close(between, 0.75 * image_BCHW[..., :-1] + 0.25 * image_BCHW[..., 1:])


def test_links_and_samples_are_warped_each_alone():
    image_BCHW, flow_BL2HW = torch.rand(3, 2, 5, 8), 2 * torch.randn(3, 4, 2, 5, 8)
    together = warp(image_BCHW, flow_BL2HW)
    for b in range(3):
        for link in range(4):
            alone = warp(image_BCHW[b : b + 1], flow_BL2HW[b : b + 1, link : link + 1])
            torch.testing.assert_close(together[b : b + 1, link : link + 1], alone)


def _by_grid_sample(image_BCHW, flow_BL2HW):
    """The plain form, link by link, on a grid from -1 to 1."""
    height, width = image_BCHW.shape[-2:]
    grids = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=flow_BL2HW.dtype) for n in (height, width)), indexing="ij")
    scale = torch.tensor([2 / (width - 1), 2 / (height - 1)], dtype=flow_BL2HW.dtype)
    links = [
        F.grid_sample(
            image_BCHW, torch.stack(grids[::-1], dim=-1) + flow.permute(0, 2, 3, 1) * scale, align_corners=True
        )
        for flow in flow_BL2HW.unbind(dim=1)
    ]
    return torch.stack(links, dim=1)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("reach", [0.6, 5.0, 1e9])
def test_warp_and_its_gradients_are_those_of_grid_sample(reach, layout):
    image_BCHW = torch.rand(2, 3, 6, 7, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    flow_BL2HW = (reach * torch.randn(2, 4, 2, 6, 7, dtype=torch.float64)).requires_grad_()
    weight = torch.randn(2, 4, 3, 6, 7, dtype=torch.float64)
    ours, plain = warp(image_BCHW, flow_BL2HW), _by_grid_sample(image_BCHW, flow_BL2HW)
    torch.testing.assert_close(ours, plain)
    gradients = [torch.autograd.grad((y * weight).sum(), (image_BCHW, flow_BL2HW)) for y in (ours, plain)]
    torch.testing.assert_close(*gradients)


def test_warp_has_the_right_gradients():
    image_BCHW = torch.rand(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    flow_BL2HW = 0.2 + 0.6 * torch.rand(2, 3, 2, 4, 5, dtype=torch.float64)  # no kinks at whole pixels
    flow_BL2HW.requires_grad_()
    assert torch.autograd.gradcheck(warp, (image_BCHW, flow_BL2HW))


def test_warp_in_bfloat16_is_that_of_float32_with_exact_positions():
    image_BCHW, flow_BL2HW = torch.randn(1, 8, 20, 300).bfloat16(), (4 * torch.randn(1, 3, 2, 20, 300)).bfloat16()
    results = []
    for dtype in (torch.bfloat16, torch.float32):
        inputs = [x.to(dtype).requires_grad_() for x in (image_BCHW, flow_BL2HW)]
        warped = warp(inputs[0], inputs[1])
        assert warped.dtype == dtype
        results.append([warped, *torch.autograd.grad(warped.square().sum(), inputs)])
    for short, exact in zip(*results, strict=True):  # positions in bfloat16 would be pixels off
        torch.testing.assert_close(short.float(), exact, rtol=2e-2, atol=6e-3 * float(exact.detach().abs().max()))


def test_warp_keeps_image_and_flow_alone_for_the_gradient():
    image_BCHW, flow_BL2HW = torch.rand(1, 4, 9, 9, requires_grad=True), torch.rand(1, 5, 2, 9, 9, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.data_ptr()), lambda x: x):
        warp(image_BCHW, flow_BL2HW)
    assert kept == [image_BCHW.data_ptr(), flow_BL2HW.data_ptr()]


def test_a_flow_that_is_no_number_gives_none_there_alone():
    flow_BL2HW = torch.zeros(1, 1, 2, 3, 4)
    flow_BL2HW[..., 1, 2] = torch.nan
    warped = warp(torch.rand(1, 2, 3, 4), flow_BL2HW)[0, 0]
    assert bool(warped[:, 1, 2].isnan().all())
    assert int(warped.isnan().sum()) == 2


def _by_reference_grid(image_BCHW, flow_BL2HW):
    """The released code's form: a grid normalised for corners, sampled as if for edges."""
    height, width = image_BCHW.shape[-2:]
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    links = []
    for flow in flow_BL2HW.unbind(dim=1):
        x = 2 * (cols + flow[:, 0]) / max(width - 1, 1) - 1
        y = 2 * (rows + flow[:, 1]) / max(height - 1, 1) - 1
        links.append(F.grid_sample(image_BCHW, torch.stack([x, y], dim=-1), align_corners=False))
    return torch.stack(links, dim=1)


@pytest.mark.parametrize(("height", "width"), [(6, 7), (1, 4)])
def test_the_reference_s_warp_and_its_gradients_are_those_of_its_grid(height, width):
    image_BCHW = torch.rand(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    flow_BL2HW = (1.5 * torch.randn(2, 4, 2, height, width, dtype=torch.float64)).requires_grad_()
    ours, theirs = warp(image_BCHW, flow_BL2HW, "reference"), _by_reference_grid(image_BCHW, flow_BL2HW)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(ours)
    gradients = [torch.autograd.grad((y * weight).sum(), (image_BCHW, flow_BL2HW)) for y in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_ones_under_zero_flow_are_halved_at_the_edges_by_the_reference_s_warp():
    ones = warp(torch.ones(1, 1, 4, 4), _flow(0, 0, 4, 4), "reference")[0, 0, 0]
    assert ones[0].tolist() == [0.25, 0.5, 0.5, 0.25]
    assert ones[1].tolist() == [0.5, 1.0, 1.0, 0.5]


def test_warp_of_shapes_alone():
    assert warp(torch.empty(2, 3, 4, 5, device="meta"), torch.empty(2, 6, 2, 4, 5, device="meta")).shape[1] == 6


def test_trajgru_carries_its_state_along_the_flow_of_each_link():
    cell: Any = TrajGRUCell(2, links=3)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.input_gates.bias[:] = torch.tensor([-100.0, -100, 100, 100, 0, 0])  # z = 0, r = 1
        cell.flows.bias[2:4] = torch.tensor([2.0, -1.0])  # link 1: two columns to the right, one row up
        cell.state_gates.weight[4, 2 * 1] = 1  # link 1, channel 0 -> candidate, channel 0
        cell.state_gates.weight[5, 2 * 0 + 1] = 1  # link 0, channel 1 -> candidate, channel 1
    h_BCHW = torch.rand(1, 2, 6, 7)
    y_BCHW = cell(torch.rand(1, 2, 6, 7), (h_BCHW,), None).y_BCHW
    torch.testing.assert_close(y_BCHW[:, 0, :-1, 2:], h_BCHW[:, 0, 1:, :-2])
    torch.testing.assert_close(y_BCHW[:, 1], h_BCHW[:, 1])


def test_motion_gru_pads_odd_sides_and_cuts_what_comes_back():
    unit, h_BCHW = MotionGRU(8), torch.randn(2, 8, 7, 11)
    padded = F.pad(h_BCHW, (0, 1, 0, 1))
    state = unit.init_state(h_BCHW)
    assert [s.shape for s in state] == [(2, 18, 4, 6)] * 2
    for _ in range(2):
        moved, *new_state = unit(h_BCHW, *state)
        same, *same_state = unit(padded, *state)
        torch.testing.assert_close(moved, same[..., :7, :11])
        assert all(torch.equal(a, b) for a, b in zip(new_state, same_state, strict=True))
        state = new_state


@torch.no_grad()
def test_motion_gru_does_not_scatter_a_pixel():
    unit: Any = MotionGRU(8)
    for gate in (unit.update, unit.reset, unit.candidate):
        gate.weight.zero_()
        gate.bias.zero_()  # no flow
    h_BCHW = torch.randn(1, 8, 16, 16)
    changed_BCHW, state = h_BCHW.clone(), unit.init_state(h_BCHW)
    changed_BCHW[..., 8, 8] += 1
    difference_HW = (unit(changed_BCHW, *state)[0] - unit(h_BCHW, *state)[0]).abs().amax(dim=(0, 1))
    reached_HW = torch.zeros(16, 16, dtype=torch.bool)
    reached_HW[7:11, 7:11] = True  # the 2 x 2 block that is encoded, and one pixel around it that is decoded
    assert float(difference_HW[reached_HW].min()) > 1e-5
    assert float(difference_HW[~reached_HW].max()) < 1e-5


@pytest.mark.parametrize("name", ["mim", "motionrnn"])
def test_states_of_each_place(name):
    x_BCHW = torch.zeros(1, 4, 5, 6)
    shapes = [[s.shape[1:] for s in CELLS.get(name)(4, 3, LayerPosition(n, 3)).init_state(x_BCHW)] for n in range(3)]
    own, flow = (4, 5, 6), (18, 3, 3)
    motion = [flow] * 2 if name == "motionrnn" else []
    assert shapes == [[own] * 2 + motion, [own] * 4 + motion, [own] * 4]


def test_first_mim_layer_is_a_predrnn_cell_and_the_last_motionrnn_layer_a_mim_cell():
    x_BCHW, memory_BCHW = torch.randn(2, 4, 6, 5), torch.randn(2, 4, 6, 5)
    for cell, other in [
        (MIMCell(4, 3, LayerPosition(0, 3)), PredRNNCell(4, 3)),
        (MotionRNNCell(4, 3, LayerPosition(2, 3)), MIMCell(4, 3, LayerPosition(2, 3))),
    ]:
        other.load_state_dict(cell.state_dict())
        state = tuple(torch.randn_like(s) for s in cell.init_state(x_BCHW))
        for ours, theirs in zip(
            cell(x_BCHW, state, memory_BCHW)[:3], other(x_BCHW, state, memory_BCHW)[:3], strict=True
        ):
            torch.testing.assert_close(ours, theirs)


def test_mim_keeps_what_follows_from_the_change_below_alone():
    cell: Any = MIMCell(4)
    x_BCHW, diagonal_BCHW = torch.randn(1, 4, 6, 5), torch.randn(1, 4, 6, 5)
    state = tuple(torch.randn_like(s) for s in cell.init_state(x_BCHW))
    first = cell(x_BCHW, state, None, diagonal_BCHW)
    torch.testing.assert_close(first.state[2], cell(x_BCHW + 1, state, None, diagonal_BCHW + 1).state[2])
    torch.testing.assert_close(cell(x_BCHW, state, None).y_BCHW, cell(x_BCHW, state, None, 0 * x_BCHW).y_BCHW)
    assert not torch.allclose(first.y_BCHW, cell(x_BCHW, state, None).y_BCHW)
    with torch.no_grad():
        cell.gates.parts[0].bias[4:8] = 7  # the unused forget quarter
    assert torch.equal(first.y_BCHW, cell(x_BCHW, state, None, diagonal_BCHW).y_BCHW)


@pytest.mark.parametrize("name", ["mim", "motionrnn"])
def test_diagonal_is_the_last_output_below_at_this_layers_size_without_skips(name, monkeypatch):
    stack = RecurrentStack(name, 2, num_layers=6, kernel_size=3, multiscale=True)
    seen: list[Any] = []
    advance = MIMCell.advance

    def watched(self, x_BCHW, state, memory_BCHW, diagonal_BCHW):
        seen.append((x_BCHW, diagonal_BCHW))
        return advance(self, x_BCHW, state, memory_BCHW, diagonal_BCHW)

    monkeypatch.setattr(MIMCell, "advance", watched)
    _, state, _ = stack(torch.rand(1, 2, 13, 18))
    stack(torch.rand(1, 2, 13, 18), state)
    assert [diagonal is None for _, diagonal in seen] == [True] * 7 + [False] * 5
    for below, (x_BCHW, diagonal_BCHW) in enumerate(seen[7:]):
        torch.testing.assert_close(diagonal_BCHW, resample(state.outputs[below], tuple(x_BCHW.shape[-2:])))


@pytest.mark.parametrize("name", ["mim", "ms-mim"])
def test_predictions_of_the_reference_with_its_dead_branches_dropped(golden, name):
    file = np.load(golden / f"{name}.npz")
    parameters = {key: torch.from_numpy(file[key]) for key in file.files if key.startswith("param/")}
    model: Any = build_model(name, hidden_channels=8)
    load_reference(model, parameters)
    with torch.no_grad():
        predictions = model.predict_all(torch.from_numpy(file["frames"][:, :3]), 3)
    np.testing.assert_allclose(predictions.numpy(), file["predictions"], atol=1e-5)
    assert len(parameters) - len(convert(parameters)) == 14  # weights and biases of seven convolutions of layer 0
    with pytest.raises(InputError, match=r"rnns\.lstm\.0\._conv_n2h_x\.weight"):
        convert({**parameters, "param/rnns.lstm.0._conv_n2h_x.weight": torch.zeros(1)})
    parameters.pop("param/rnns.lstm.1._conv_s2o.bias")
    with pytest.raises(InputError, match=r"missing: \['stack.cells.1.nested.lasting_output.bias'\]"):
        load_reference(model, parameters)


VALUES_OF_EQUAL_WEIGHTS = {  # ms_rnn_facts.md, 11.16, exact warp and layout: as in test_golden.py
    "mim": (0.077399, 0.148500, 0.172083, 0.176753, 0.141933, 0.172088),
    "ms-mim": (0.080007, 0.151071, 0.172517, 0.176829, 0.142549, 0.176364),
    "trajgru": (0.059378, 0.073226, 0.091188, 0.111526, 0.081338, 0.071020),
    "ms-trajgru": (0.064824, 0.086212, 0.109879, 0.132025, 0.093921, 0.078103),
    "motionrnn": (0.079705, 0.148213, 0.172120, 0.176788, 0.142465, 0.171808),
    "ms-motionrnn": (0.083427, 0.151397, 0.172725, 0.176885, 0.143672, 0.176390),
}
NARROW_FLOW = {  # the same, flow network 3 x 3 with 64 channels
    "trajgru": (0.059378, 0.073226, 0.091188, 0.111526, 0.082186, 0.076175),
    "ms-trajgru": (0.064824, 0.086215, 0.109915, 0.132095, 0.095289, 0.084172),
}
COUNTS = {"mim": 6_733_697, "trajgru": 2_114_233, "motionrnn": 6_899_592}


def _values_of_equal_weights(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(0.05 if name.endswith("bias") else 0.002)
        t, i, j = torch.meshgrid(torch.arange(5), torch.arange(32), torch.arange(32), indexing="ij")
        frames = (((3 * i + 5 * j + 7 * t) % 11) / 10)[None, :, None]
        p = model.predict_all(frames[:, :3], 2)[0, :, 0]
    return [*p[:, 16, 16].tolist(), p.mean().item(), p[3, 0, 0].item()]


@pytest.mark.parametrize("name", VALUES_OF_EQUAL_WEIGHTS)
def test_parameters_and_values_of_equal_weights_at_the_papers_width(name):
    model = build_model(name)
    assert sum(p.numel() for p in model.parameters()) == COUNTS[name.removeprefix("ms-")]
    np.testing.assert_allclose(_values_of_equal_weights(model), VALUES_OF_EQUAL_WEIGHTS[name], atol=2e-6)


@pytest.mark.parametrize("name", NARROW_FLOW)
def test_flow_network_of_the_newest_reference_code(name):
    model: Any = build_model(name)
    for n in range(6):
        model.stack.cells[n] = TrajGRUCell(64, 3, LayerPosition(n, 6), flow_kernel=3, flow_channels=64)
    assert sum(p.numel() for p in model.parameters()) == 1_915_705
    np.testing.assert_allclose(_values_of_equal_weights(model), NARROW_FLOW[name], atol=2e-6)
