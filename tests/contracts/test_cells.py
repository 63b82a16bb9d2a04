"""What every registered cell keeps."""

import pytest
import torch

from models.cells import CELLS


@pytest.fixture(params=CELLS.names())
def cell(request):
    torch.manual_seed(1)
    return CELLS.get(request.param)(4, 3)


def _memory(cell, x_BCHW):
    return torch.rand_like(x_BCHW) if cell.uses_memory else None


def test_cell_treats_each_sample_of_a_batch_alone(cell):
    x_BCHW = torch.randn(3, 4, 7, 5)
    memory = _memory(cell, x_BCHW)
    together = cell(x_BCHW, cell.init_state(x_BCHW), memory).y_BCHW
    alone = cell(x_BCHW[1:2], cell.init_state(x_BCHW[1:2]), None if memory is None else memory[1:2]).y_BCHW
    torch.testing.assert_close(together[1:2], alone)


def test_cell_keeps_size_type_and_state_shapes(cell):
    x_BCHW = torch.randn(2, 4, 9, 6, dtype=torch.float64)
    step = cell.double()(x_BCHW, cell.init_state(x_BCHW), None)
    assert step.y_BCHW.shape == x_BCHW.shape
    assert step.y_BCHW.dtype == torch.float64
    assert [s.shape for s in step.state] == [s.shape for s in cell.init_state(x_BCHW)]
    assert (step.memory_BCHW is not None) == cell.uses_memory


def test_gradient_reaches_every_parameter(cell):
    x_BCHW = torch.randn(2, 4, 6, 6)
    step = cell(x_BCHW, cell.init_state(x_BCHW), _memory(cell, x_BCHW))
    step = cell(x_BCHW, step.state, step.memory_BCHW)
    step.y_BCHW.square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in cell.parameters())


def test_state_matters(cell):
    x_BCHW = torch.randn(1, 4, 6, 6)
    first = cell(x_BCHW, cell.init_state(x_BCHW), None)
    second = cell(x_BCHW, first.state, first.memory_BCHW)
    assert not torch.allclose(first.y_BCHW, second.y_BCHW)
