"""A toy cell takes one class and one registration, and it then runs flat, multi-scale and through the trainer."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import models.cells
from core.errors import UnknownNameError
from models import build_model, list_models, load_forecaster
from models.cells.base import CELLS, MIDDLE, JointConv2d, RecurrentCell, Step
from models.checkpoint import load_model, read_card
from training import run
from training.config import resolve

PAGE = (Path(__file__).parents[2] / "docs" / "framework.md").read_text(encoding="utf-8")
NAME = next(name for name in (f"toy{n or ''}" for n in range(len(CELLS) + 1)) if name not in CELLS)
"""A free name, so that a cell may be called `toy`."""
CODE, LINE = (re.sub(r"\btoy\b", NAME, block) for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))


def _register_the_page_s(folder):
    """One file in `models/cells` and one line, as the page says."""
    (folder / f"{NAME}.py").write_text(CODE)
    models.cells.__path__.append(str(folder))
    importlib.invalidate_caches()
    try:
        exec(LINE, {})
    finally:
        models.cells.__path__.remove(str(folder))
        sys.modules.pop(f"models.cells.{NAME}", None)
        if hasattr(models.cells, NAME):
            delattr(models.cells, NAME)


def _register_one_that_uses_everything(folder):
    """The zigzag memory, the diagonal, a state of its own size, another last layer, and a loss of its own."""

    @CELLS.register(NAME)
    class GreedyCell(RecurrentCell):
        uses_memory = True
        uses_diagonal = True

        def __init__(self, channels, kernel_size=3, position=MIDDLE):
            super().__init__(channels, kernel_size, position)
            self.gate = JointConv2d((channels,) * 3, channels, kernel_size)
            self.last = nn.Conv2d(channels, channels, 1) if position.is_last else None

        @classmethod
        def auxiliary(cls, channels):
            return Auxiliary(channels)

        def init_state(self, x_BCHW):
            return x_BCHW.new_zeros(x_BCHW.shape), x_BCHW.new_zeros(len(x_BCHW), 1, 1, 1)

        def forward(self, x_BCHW, state, memory_BCHW, diagonal_BCHW=None):
            h_BCHW, mean_B111 = state
            m_BCHW = torch.zeros_like(x_BCHW) if memory_BCHW is None else memory_BCHW
            change_BCHW = x_BCHW if diagonal_BCHW is None else x_BCHW - diagonal_BCHW
            h_BCHW = self.gate(change_BCHW, h_BCHW, m_BCHW).tanh() + mean_B111
            y_BCHW = h_BCHW if self.last is None else self.last(h_BCHW)
            return Step(y_BCHW, (h_BCHW, h_BCHW.mean(dim=(1, 2, 3), keepdim=True)), m_BCHW + h_BCHW, (h_BCHW,))

    class Auxiliary(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(channels))

        def forward(self, h_BCHW):
            return (h_BCHW.mean(dim=(0, 2, 3)) * self.weight).square().sum()


@pytest.fixture(params=[_register_the_page_s, _register_one_that_uses_everything])
def toy(request, tmp_path):
    assert NAME not in CELLS
    request.param(tmp_path)
    yield
    CELLS._entries.pop(NAME)
    with pytest.raises(UnknownNameError):
        build_model(f"ms-{NAME}")


@pytest.mark.parametrize("name", [NAME, f"ms-{NAME}"])
def test_a_toy_cell_is_a_model(toy, name):
    assert name in list_models()
    torch.manual_seed(0)
    model, frames = build_model(name, hidden_channels=4), torch.rand(2, 3, 1, 13, 18)
    forecast = model(frames, lead_steps=2)
    assert forecast.shape == (2, 2, 1, 13, 18)
    torch.testing.assert_close(model(frames[1:], lead_steps=2), forecast[1:])
    predictions, own_loss = model.predict_with_loss(frames, 2)  # type: ignore[operator]
    (predictions.square().sum() + (0 if own_loss is None else own_loss)).backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in model.parameters())


@pytest.mark.parametrize("name", [NAME, f"ms-{NAME}"])
def test_a_toy_cell_goes_through_the_trainer(toy, name, tmp_path):
    sets = ["hidden_channels=2", "num_layers=3", "size=32", "invented_digits=20", "input_steps=2", "lead_steps=2"]
    sets += ["train_clips=4", "test_clips=1"]
    config = resolve("moving_mnist", file=None, sets=sets, model=name, max_steps=2, batch_size=2)
    checkpoint = run.train(config, tmp_path / "run")
    card = read_card(checkpoint)
    assert (card["architecture"]["name"], card["training"]["steps"]) == (name, 2)
    assert load_model(checkpoint)(torch.rand(1, 2, 1, 9, 9), lead_steps=1).shape == (1, 1, 1, 9, 9)
    assert load_forecaster(checkpoint).forecast(torch.rand(2, 20, 20).numpy(), 3).rate_mmh_LHW.shape == (3, 20, 20)


def _rows_of_the_page():
    rows = [[cell.strip() for cell in line.split("|")] for line in PAGE.splitlines() if line.count("|") == 7]
    return {row[1].strip("`"): (row[3], row[4], row[5]) for row in rows if row[1].startswith("`")}


@pytest.mark.parametrize("name", sorted(_rows_of_the_page()))
def test_the_page_s_table_is_true(name):
    memory, diagonal, number = _rows_of_the_page()[name]
    assert (CELLS.get(name).uses_memory, CELLS.get(name).uses_diagonal) == (memory == "yes", diagonal == "yes")
    for model in (name, f"ms-{name}"):
        with torch.device("meta"):
            parameters = build_model(model).parameters()
        assert f"{sum(p.numel() for p in parameters):,}" == number


def test_the_page_has_ten_cells():
    assert len(_rows_of_the_page()) == 10


def test_the_page_s_drawing_is_the_script_s(tmp_path, monkeypatch):
    import runpy

    images = Path(__file__).parents[2] / "docs" / "images"
    script = tmp_path / "make_framework.py"
    script.write_text((images / "make_framework.py").read_text(encoding="utf-8"), encoding="utf-8")
    runpy.run_path(str(script), run_name="__main__")
    assert (tmp_path / "framework.svg").read_text(encoding="utf-8") == (images / "framework.svg").read_text("utf-8")
