"""How far a layer sees: by formula and by gradient, and the pictures of both."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from core import cf
from core.errors import InputError
from core.grid import RADOLAN_900
from models import build_model
from models.checkpoint import save_model
from training import receptive_field
from training.datasets import DATASETS
from training.receptive_field import extent, receptive_fields, recurrent
from training.report import layer_pictures

PNG = b"\x89PNG"
SMALL = ("--set", "hidden_channels=2", "--set", "input_steps=2", "--set", "lead_steps=2")


def _model(name, **options):
    torch.manual_seed(5)
    return recurrent(build_model(name, **{"hidden_channels": 8, **options}))


def _run(*arguments):
    return CliRunner().invoke(receptive_field.app, [str(a) for a in arguments])


@pytest.mark.parametrize(
    ("name", "theoretical", "zero"),
    [("convlstm", (3, 5, 7), (3, 5, 7)), ("ms-convlstm", (3, 8, 18), (3, 7, 15))],
)
def test_the_paper_s_numbers_and_the_true_ones(name, theoretical, zero):
    fields = receptive_fields(_model(name))
    assert [one.theoretical for one in fields] == [(n, n) for n in theoretical]
    assert [extent(one.random_HW) for one in fields] == [(n, n) for n in theoretical]
    assert [extent(one.zero_HW) for one in fields] == [(n, n) for n in zero]


@pytest.mark.parametrize(
    ("name", "options", "size", "sizes"),
    [
        # by hand: r + (k - 1) s for each convolution, and r + s for each pooling by two
        ("ms-convlstm", {"kernel_size": 5}, (64, 64), [5, 14, 32]),
        ("ms-convlstm", {"patch": 2}, (64, 64), [6, 16, 36]),
        ("ms-convlstm", {"num_layers": 3}, (64, 64), [3, 8]),
        ("ms-convlstm", {"num_layers": 1}, (64, 64), [3]),
        ("ms-convlstm", {"skip": "full", "residual": True}, (45, 31), [3, 8, 18]),
        ("predrnn", {}, (32, 32), [5, 9, 13]),
        ("ms-predrnn", {}, (64, 64), [5, 14, 32]),
        ("ms-predrnn++", {}, (64, 64), [7, 24, 50]),
    ],
)
def test_formula_and_gradient_agree(name, options, size, sizes):
    fields = receptive_fields(_model(name, **options), size)
    assert [one.theoretical for one in fields] == [(n, n) for n in sizes]
    assert [extent(one.random_HW) for one in fields] == [(n, n) for n in sizes]


def test_what_is_larger_than_the_image_is_marked():
    fields = receptive_fields(_model("ms-convlstm"), (12, 40))
    assert [one.theoretical for one in fields] == [(3, 3), (8, 8), (12, 18)]
    table = receptive_field.text_table("x", fields, (12, 40))
    assert "12 x 18*" in table
    assert "* as large as" in table


def test_the_model_stays_as_it_is():
    model = _model("ms-convlstm")
    receptive_fields(model, (16, 16))
    assert all(p.dtype == torch.float32 and p.grad is None for p in model.parameters())
    assert not any(cell._forward_hooks for cell in model.stack.cells)


def test_layers_are_watched_in_order_and_let_go():
    model = _model("ms-predrnn")
    with layer_pictures.watch(model) as calls, torch.inference_mode():
        predicted = model.predict_all(torch.rand(1, 2, 1, 12, 16), 3)
    assert [len(layer) for layer in calls] == [4] * 6
    assert [layer[0].y_BCHW.shape[-2:] for layer in calls[:4]] == [(12, 16), (6, 8), (3, 4), (3, 4)]
    with torch.inference_mode():
        torch.testing.assert_close(model.head(calls[-1][-1].y_BCHW), predicted[:, -1])
    assert not any(cell._forward_hooks for cell in model.stack.cells)


def test_the_command_prints_the_table_and_draws_it(tmp_path):
    result = _run("--model", "ms-convlstm", "--set", "hidden_channels=8", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert [line.split()[-3:] for line in result.output.splitlines()[2:5]] == [
        ["3", "3", "3"],
        ["8", "8", "7"],
        ["18", "18", "15"],
    ]
    assert (tmp_path / "receptive_field.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("clip", [("--random",), ("--window", "1")])
def test_layers_of_an_untrained_model_are_drawn(clip, tmp_path):
    result = _run("--model", "ms-predrnn", "--layers", "--out", tmp_path, "--size", 40, 40, *SMALL, *clip)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "layers.png").read_bytes().startswith(PNG)
    assert not (tmp_path / "channels.png").exists()


def test_layers_of_a_checkpoint_are_drawn_for_an_event(tmp_path):
    times = [datetime(2021, 7, 1, tzinfo=UTC) + timedelta(minutes=30 * k) for k in range(10)]
    rate = np.random.default_rng(1).gamma(0.5, 2.0, (10, 24, 24)).astype(np.float32)
    cf.write_dataset(cf.rate_dataset(rate, times, RADOLAN_900.resized(24, 24)), tmp_path / "event.nc")
    options = {"hidden_channels": 3, "num_layers": 3}
    card = {"architecture": {"name": "ms-convlstm", "options": options}, "transform": {"name": "reflectivity"}}
    card |= {"input_steps": 5, "cadence_minutes": 30, "pixel_m": 7258.0, "version": "1"}
    save_model(tmp_path / "c", build_model("ms-convlstm", **options), card)
    arguments = ("--checkpoint", tmp_path / "c", "--layers", "--data", tmp_path / "event.nc", "--out", tmp_path)
    result = _run(*arguments, "--size", 16, 20, "--channels", 2, "--step", 4, "--step", 7)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "layers.png").read_bytes().startswith(PNG)
    assert (tmp_path / "channels.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("name", ["convlstm", "ms-convlstm"])
def test_layers_are_drawn_for_a_clip_of_kth_as_in_figure_7(name, tmp_path):
    (tmp_path / "data").mkdir()
    options = DATASETS.get("kth").miniature(tmp_path / "data")
    sets = [part for key, value in options.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    layers = ("--model", name, "--layers", "--dataset", "kth", "--data", tmp_path / "data", "--channels", 2)
    result = _run(*layers, *SMALL, *sets, "--out", tmp_path / "a", "--window", 0)
    assert result.exit_code == 0, result.output
    assert _run(*layers, *SMALL, *sets, "--out", tmp_path / "b", "--window", 1).exit_code == 0
    for picture in ("layers.png", "channels.png"):
        first, second = (tmp_path / folder / picture for folder in ("a", "b"))
        assert first.read_bytes().startswith(PNG)
        assert first.read_bytes() != second.read_bytes()  # another clip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected one of --model and --checkpoint"),
        (("--model", "convlstm", "--checkpoint", "x"), "expected one of --model and --checkpoint"),
        (("--model", "ms-convlst"), "did you mean ms-convlstm"),
        (("--checkpoint", "nowhere"), "checkpoint: expected a folder with a readable"),
        (("--model", "convlstm", "--layers"), "needs --out FOLDER"),
        (("--model", "convlstm", "--dataset", "kth"), "expected --layers with it, got --dataset kth alone"),
        (("--model", "convlstm", "--layers", "--out", "x", "--dataset", "kht"), "did you mean kth"),
        (("--model", "convlstm", "--layers", "--out", "x", "--step", "9", *SMALL), "expected 0 to 2"),
        (("--model", "convlstm", "--layers", "--out", "x", "--channels", "9", *SMALL), "expected at most 2"),
        (("--model", "convlstm", "--layers", "--out", "x", "--window", "99999", *SMALL), "got 99999"),
        (("--model", "convlstm", "--layers", "--out", "x", "--size", "40", "50", *SMALL), "expected shape (1, 40, 50)"),
        (("--model", "ms-convlstm", "--size", "3", "64"), "at least 4 x 4"),
    ],
)
def test_what_the_user_did_wrong_is_one_clear_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = _run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_another_kind_of_model_is_refused_by_name():
    with pytest.raises(InputError, match="expected a stack of recurrent layers, got Identity"):
        recurrent(nn.Identity())
