"""The paper's cost equations and counting, and what is really computed and kept (ms_rnn_facts.md, section 7)."""

import gc
import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from core.errors import ConfigError, InputError, UnknownNameError
from models import build_model, list_models
from models.cells import CELLS
from models.cost.equations import CostModel, flop_coefficient, output_coefficient
from models.cost.largest import largest_edge
from models.cost.measure import count_parameters, measure_memory, measure_work, measuring_on
from models.cost.paper import PAPER_CELLS, paper_macs
from models.cost.report import CostSetting, app, measure, report
from models.cost.training_memory import state_bytes, training_peak

SMALL = CostSetting(12, 16, 2, 2, hidden_channels=8)

COEFFICIENTS = {  # N: outputs flat and multi-scale, operations flat and multi-scale
    2: (64, 64, 4, 4),
    3: (96, 72, 6, Fraction(9, 2)),
    4: (128, 80, 8, 5),
    5: (160, 82, 10, Fraction(41, 8)),
    6: (192, 84, 12, Fraction(21, 4)),
    7: (224, Fraction(169, 2), 14, Fraction(169, 32)),
    8: (256, 85, 16, Fraction(85, 16)),
}


@pytest.mark.parametrize("layers", COEFFICIENTS)
def test_coefficients_of_equations_5_to_7_and_11_to_12(layers):
    found = [f(layers, multiscale=m) for f in (output_coefficient, flop_coefficient) for m in (False, True)]
    assert found == list(COEFFICIENTS[layers])


@pytest.mark.parametrize("layers", range(3, 40))
def test_bounds_of_equations_8_and_13(layers):
    assert 72 <= output_coefficient(layers, multiscale=True) < Fraction(256, 3)
    assert Fraction(9, 2) <= flop_coefficient(layers, multiscale=True) < Fraction(16, 3)
    assert output_coefficient(layers, multiscale=False) >= 96
    assert output_coefficient(layers, multiscale=True) == 32 * sum(
        Fraction(1, 4 ** min(n, layers - 1 - n)) for n in range(layers)
    )


def test_worked_example_of_the_paper():
    example = CostModel(Fraction(8), Fraction(16), channels=64, height=64, width=64, steps=19)
    assert example.parameter_bits == 56_623_104
    assert [example.output_bits(multiscale=m) for m in (False, True)] == [15_300_820_992, 6_694_109_184]
    assert [example.total_bits(multiscale=m) / 8 / 2**20 for m in (False, True)] == [3675, 1623]
    assert float(example.memory_reduction) == pytest.approx(0.5583673469, abs=1e-10)
    assert [example.flops(multiscale=m) for m in (False, True)] == [275_414_777_856, 120_493_965_312]
    assert example.flop_reduction == Fraction(9, 16)
    with pytest.raises(InputError, match="at least 1"):
        output_coefficient(0, multiscale=True)


TABLE_3 = {
    "convlstm": (137_717_350_400, 60_325_429_248),
    "predrnn": (279_249_944_576, 122_314_424_320),
    "predrnn++": (378_705_281_024, 163_674_456_064),
    "mim": (571_878_146_048, 250_404_143_104),
    "motionrnn": (584_332_009_472, 255_852_708_352),
    "predrnn-v2": (283_075_149_824, 123_987_951_616),
    "preciplstm": (547_014_311_936, 239_461_335_040),
}


@pytest.mark.parametrize("name", TABLE_3)
def test_table_3_is_worked_out_to_the_last_digit(name):
    cell = PAPER_CELLS[name]
    found = tuple(paper_macs(cell, multiscale=m) for m in (False, True))
    assert found == TABLE_3[name]
    assert cell.printed.gmacs is not None
    assert [count / 1e9 for count in found] == pytest.approx(list(cell.printed.gmacs), rel=0.005)


@pytest.mark.parametrize(
    ("skip", "count"), [("none", 60_325_429_248), ("unet3+", 60_380_217_344), ("full", 60_503_490_560)]
)
def test_skip_variants_are_worked_out_to_the_last_digit(skip, count):
    assert paper_macs(PAPER_CELLS["convlstm"], multiscale=True, skip=skip) == count


@pytest.mark.parametrize("name", PAPER_CELLS)
def test_parameters_differ_from_the_papers_only_where_a_note_explains_it(name):
    if name not in CELLS:
        pytest.skip("no such cell here yet")
    cell = PAPER_CELLS[name]
    found = sum(p.numel() for p in build_model(name).parameters())
    assert found <= cell.parameters
    assert found == cell.parameters or cell.note
    assert cell.printed.parameters * 1e6 == pytest.approx(cell.parameters, abs=6e3)


def test_work_is_that_of_the_paper_without_its_resampling_rule():
    """ConvLSTM has nothing dead: 11 per bilinear value there, 4 here, is the whole difference."""
    setting = CostSetting(16, 24, 2, 2)
    size: dict[str, Any] = {"height": 16, "width": 24, "steps": 3}
    flat, multiscale = (measure(name, setting).work for name in ("convlstm", "ms-convlstm"))
    assert flat.total == flat.convolutions == paper_macs(PAPER_CELLS["convlstm"], multiscale=False, **size)
    up = 3 * 64 * (16 * 24 + 8 * 12)
    assert multiscale.resampling == 4 * up
    assert multiscale.convolutions + 11 * up == paper_macs(PAPER_CELLS["convlstm"], multiscale=True, **size)


class _Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 6, 3, stride=2, groups=1, padding=1)
        self.up = nn.ConvTranspose2d(6, 1, 4, stride=2, padding=1)
        self.mix = nn.Linear(8, 5)
        self.back = nn.Linear(5, 8)

    def forward(self, frames_BTCHW, lead_steps):
        x = frames_BTCHW[:, -1]
        y = self.back(self.mix(self.up(self.down(x)))).tanh()
        return torch.stack([y * x] * lead_steps, dim=1)


def test_counts_worked_out_by_hand():
    model, frames = _Layers(), torch.rand(2, 3, 1, 8, 8)
    work = measure_work(model, frames, 1)
    convolutions = 2 * (6 * 16 * 9 + 6 * 16 * 16)  # the transposed one by its input
    assert (work.convolutions, work.matrix_products) == (convolutions, 2 * (8 * 8 * 5 + 8 * 5 * 8))
    assert (work.resampling, work.products) == (0, 2 * 64)
    memory = measure_memory(model, frames, 1)
    floats = 3 * 2 * 64 + 2 * 6 * 16 + 2 * 64 + 2 * 8 * 5 + 2 * 64  # all frames (one storage), down, up, mix, tanh
    assert (memory.activation_bytes, memory.joined_weight_bytes, memory.peak_bytes) == (4 * floats, 0, None)


@pytest.mark.parametrize(
    "name",
    [  # one quick case in `make test`, the other cells in `make test-long`
        pytest.param(name, marks=[] if name == "ms-convlstm" else pytest.mark.long)
        for name in list_models()
        if name.startswith("ms-")
    ],
)
def test_shapes_alone_count_what_a_real_run_counts(name):
    real, shapes = measure(name, SMALL, device="cpu"), measure(name, SMALL, device="shapes")
    assert real == shapes
    assert real.memory is not None
    assert real.memory.activation_bytes > 0
    model = build_model(name, hidden_channels=8)  # nothing without numbers stays behind
    assert bool(torch.isfinite(model(torch.rand(1, 2, 1, 12, 16), 1)).all())


def test_activations_grow_with_the_batch_and_joined_weights_do_not():
    one, two = (measure("ms-predrnn", CostSetting(12, 16, 2, 2, batch=b, hidden_channels=4)).memory for b in (1, 2))
    assert one is not None
    assert two is not None
    assert two.activation_bytes == 2 * one.activation_bytes
    assert two.joined_weight_bytes == one.joined_weight_bytes > 0


@pytest.mark.parametrize("power", [1.0, 1.6, 2.0])
def test_the_largest_edge_fits_and_four_pixels_more_do_not(power):
    """Memory that grows with the pixels, or faster, as with attention over all of them."""
    seen: list[int] = []

    def bytes_of(edge: int) -> int:
        seen.append(edge)
        return 5000 + int(3 * (edge**2) ** power)

    edge = largest_edge(bytes_of, 2_000_000)
    assert bytes_of(edge) <= 2_000_000 < bytes_of(edge + 4)
    assert edge % 4 == 0
    assert len(seen) <= 14
    with pytest.raises(InputError, match="got 100 bytes"):
        largest_edge(lambda edge: edge**2 + 200, 100)


@pytest.mark.parametrize("limit_bytes", range(20_000, 3_000_000, 99_733))
def test_the_largest_edge_is_found_where_sides_are_filled_up(limit_bytes):
    def bytes_of(edge: int) -> int:
        return 5000 + 3 * (-(-edge // 32) * 32) ** 2

    edge = largest_edge(bytes_of, limit_bytes)
    assert bytes_of(edge) <= limit_bytes < bytes_of(edge + 4)


@pytest.mark.long
def test_a_command_prints_the_largest_image_flat_and_multi_scale():
    arguments = ["--model", "ms-convlstm", "--frames", "1", "1", "--hidden-channels", "2", "--num-layers", "2"]
    result = CliRunner().invoke(app, [*arguments, "--largest", "0.01"])
    assert result.exit_code == 0, result.output
    flat, multiscale = (int(part.split()[0]) for part in result.output.split(": ")[1:])
    assert 0 < flat <= multiscale


@pytest.mark.long
def test_report_has_flat_and_multiscale_whichever_is_asked():
    figures = report("ms-convlstm", SMALL)
    assert list(figures["measured"]) == ["convlstm", "ms-convlstm"]
    assert figures["drop"]["macs"] == pytest.approx(0.55, abs=0.02)
    assert figures["paper"]["table_3_worked_out"] == list(TABLE_3["convlstm"])
    assert figures["paper"]["predicted"]["output_drop"] == 0.5625
    assert report("convlstm", CostSetting(8, 8, 1, 1, hidden_channels=2, options={"patch": 2}))["paper"] is None


def test_command_prints_its_table_and_writes_json(tmp_path):
    arguments = ["--size", "16", "16", "--frames", "2", "2", "--hidden-channels", "4", "--set", "skip=full"]
    result = CliRunner().invoke(app, ["--model", "ms-predrnn", *arguments, "--json", str(tmp_path / "cost.json")])
    assert result.exit_code == 0, result.output
    assert "ms-predrnn: 16 x 16, 2 frames in and 2 out, batch 1, 4 channels, 6 layers, skip=full" in result.output
    assert "279,249,944,576" in result.output
    assert "279.3 G" in result.output
    assert "41.28 %" in result.output
    assert json.loads((tmp_path / "cost.json").read_text())["measured"]["predrnn"]["peak_bytes"] is None


def test_all_models_stand_in_one_table(monkeypatch):
    monkeypatch.setattr("models.cost.report.list_models", lambda: ["convlstm", "ms-convlstm"])
    result = CliRunner().invoke(app, ["--all", "--size", "8", "8", "--frames", "1", "1", "--hidden-channels", "2"])
    assert result.exit_code == 0, result.output
    assert "| convlstm | " in result.output
    assert "137.7 / 60.3" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "ms-predrn"], "unknown model 'ms-predrn'; did you mean ms-predrnn"),
        (["--model", "convlstm", "--all"], "either --model NAME or --all"),
        ([], "either --model NAME or --all"),
        (["--model", "convlstm", "--set", "skip"], "expected key=value"),
        (["--model", "convlstm", "--set", "dropout=1"], "dropout"),
        (["--model", "ms-convlstm", "--size", "3", "9"], "at least 4 x 4"),
        (["--model", "convlstm", "--device", "tpu"], "auto, shapes, cpu, cuda"),
    ],
)
def test_mistakes_are_one_clear_line(arguments, message):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.count("\n") == 1


def test_unknown_names_and_devices_are_errors_of_ours():
    with pytest.raises(UnknownNameError, match="ms-convlstm"):
        measure("ms-convltsm", SMALL)
    with pytest.raises(ConfigError, match="shapes"), measuring_on("npu", nn.Identity()):
        pass


class _Recorder:
    """An allocator that counts the numbers that Adam and the gradients hold whenever a peak begins anew."""

    def __init__(self, model):
        self.model, self.held = model, []

    def allocated(self):
        return 1000

    def restart_peak(self):
        gc.collect()
        own = {tuple(p.shape) for p in self.model.parameters()}
        alive = [t for t in gc.get_objects() if type(t) is torch.Tensor and tuple(t.shape) in own]
        self.held.append((sum(p.grad is not None for p in self.model.parameters()), len(alive)))

    def peak(self):
        return 5000


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_the_peak_is_of_a_whole_step_with_gradients_and_adam_s_moments(precision, dtype):
    model: Any = nn.Conv2d(3, 5, 3)
    before, seen = model.weight.detach().clone(), []

    def forward():
        y = model(torch.ones(1, 3, 8, 8))
        seen.append(y.dtype)
        return y.float().sum()

    allocator = _Recorder(model)
    peak = training_peak(model, forward, precision, allocator)
    own = 4 * (5 * 3 * 9 + 5)
    assert peak == 5000 - (1000 - own)  # what else the process holds is left out, the model's own weights are not
    assert state_bytes(model) == 4 * own
    (gradients, alive), (gradients_later, alive_later) = allocator.held
    assert (gradients, gradients_later) == (0, 2)
    assert alive_later - alive >= 2 * 2  # two moments of each parameter
    assert seen == [dtype, dtype]
    assert torch.equal(model.weight, before)
    assert model.weight.grad is None


def test_bf16_saves_less_and_a_wrong_precision_is_refused(tmp_path):
    whole, half = (measure("ms-convlstm", replace(SMALL, precision=p)).memory for p in ("32-true", "bf16-mixed"))
    assert whole is not None
    assert half is not None
    assert half.activation_bytes < 0.8 * whole.activation_bytes
    assert half.state_bytes == whole.state_bytes == 16 * count_parameters(build_model("ms-convlstm", hidden_channels=8))
    result = CliRunner().invoke(app, ["--model", "convlstm", "--precision", "fp8"])
    assert result.exit_code == 2
    assert "precision: expected one of 32-true, bf16-mixed, got 'fp8'" in result.output
